# Everything a person types. `setup` is quick when nothing changed.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test

.PHONY: setup setup-test demo dev test torture lint format bench lock clean

setup: $(RUN_STAMP)

setup-test: $(TEST_STAMP)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || scripts/install-venv $(PYTHON) $(VENV)

$(RUN_STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(TEST_STAMP): requirements-test.lock scripts/install-system-parts $(RUN_STAMP)
	scripts/install-system-parts
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	touch $@

demo: setup
	$(BIN)/writebacks demo

dev: setup
	$(BIN)/python -m writeback_pipeline.commands.dev

test: setup-test
	$(BIN)/pytest --numprocesses auto --dist loadfile --cov --cov-report=term:skip-covered

# The same suite, with the full number of cut logs, odd texts and the like; takes hours.
torture: setup-test
	TORTURE=1 $(BIN)/pytest --timeout=7200

lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup-test
	$(BIN)/python -m benchmarks

# Pins every dependency with its hashes; the files name packages only.
lock: setup-test
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --no-strip-extras \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-strip-extras --extra test \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 -c requirements.lock pyproject.toml -o requirements-test.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
