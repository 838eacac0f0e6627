# Everything a person types. `setup` is quick when nothing changed.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
RELEASE := build/release
RUNTIME := build/runtime
PEERS := build/bench
# Much of the suite waits for other processes: one more than there are cores.
IN_PARALLEL := --numprocesses $(shell echo $$(($$(nproc) + 1))) --dist worksteal

.PHONY: setup setup-test demo dev test test-postgresql coverage torture torture-postgresql lint format docs bench \
  bench-long mutation image follow lock sbom audit clean

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
	$(BIN)/pytest $(IN_PARALLEL)

# Which lines the suite runs; twice as slow.
coverage: setup-test
	$(BIN)/pytest $(IN_PARALLEL) --cov --cov-report=term:skip-covered

# What can go on for ever, in full: part by part, each of which can be run by itself (`make torture-network`).
# All of it takes about an hour and a half on two cores; each part prints what it counted.
TORTURE := TORTURE=1 $(BIN)/pytest --timeout=7200 --quiet -p no:cacheprovider
TORTURE_PARTS := histories stories killed stopped network storage texts clocks load workers
torture: $(TORTURE_PARTS:%=torture-%)

torture-histories: setup-test
	$(TORTURE) writeback_pipeline_tests/simulation/test_histories.py writeback_pipeline_tests/simulation/test_mutants.py
torture-stories: setup-test
	$(TORTURE) writeback_pipeline_tests/simulation/test_any_delivery.py writeback_pipeline_tests/store/test_any_story.py
torture-killed: setup-test
	$(TORTURE) writeback_pipeline_tests/torture/test_killed_workers.py writeback_pipeline_tests/torture/test_lost_host.py \
	  writeback_pipeline_tests/torture/test_left_job.py
torture-stopped: setup-test
	$(TORTURE) writeback_pipeline_tests/torture/test_zombies.py
torture-network: setup-test
	$(TORTURE) writeback_pipeline_tests/torture/test_network.py
torture-storage: setup-test
	$(TORTURE) writeback_pipeline_tests/delivery/test_storage_faults.py writeback_pipeline_tests/delivery/test_server_faults.py
torture-texts: setup-test
	$(TORTURE) writeback_pipeline_tests/journeys/test_odd_text.py
torture-clocks: setup-test
	$(TORTURE) writeback_pipeline_tests/domain/test_every_hour.py writeback_pipeline_tests/delivery/test_a_day_of_calls.py
torture-load: setup-test
	$(TORTURE) writeback_pipeline_tests/torture/test_mixed_load.py writeback_pipeline_tests/torture/test_shared_budget.py
torture-workers: setup-test
	$(TORTURE) writeback_pipeline_tests/deploy/test_workers.py writeback_pipeline_tests/deploy/test_compose.py

# What is judged by what a ledger holds, on a ledger in PostgreSQL; `make test` runs a part of it on both.
ON_POSTGRESQL := delivery journeys defs commands console simulation/test_protections.py
test-postgresql: setup-test
	TEST_STORE=postgresql $(BIN)/pytest $(IN_PARALLEL) $(ON_POSTGRESQL:%=writeback_pipeline_tests/%)

TORTURE_ON_POSTGRESQL := killed stopped storage texts load workers
torture-postgresql:
	TEST_STORE=postgresql $(MAKE) $(TORTURE_ON_POSTGRESQL:%=torture-%)

# Which changed line no test would notice; takes about half an hour, and writes into `mutants`.
mutation: setup-test
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutation.lock
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# Builds the image and delivers with it what deploy/compose.yaml says, where no container engine is: needs root, Debian's
# buildah and debootstrap, and some ten minutes.
image: setup-test
	scripts/try-image $(BIN)/pytest

# Follows docs/deployment.md on an empty Debian of its own: needs root and some ten minutes.
follow:
	scripts/follow-deployment

lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The parts of the pages that are written from the code.
docs: setup-test
	$(BIN)/python -m writeback_pipeline_tests.documents

$(PEERS)/.installed: requirements-bench.lock
	$(PYTHON) -m venv --clear $(PEERS) || scripts/install-venv $(PYTHON) $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	touch $@

# What everything costs, beside what a user would pick instead: under ten minutes on quick cores. Writes docs/benchmarks.md.
bench: setup-test $(PEERS)/.installed
	$(BIN)/python -m benchmarks

# The same at the sizes that take hours. Writes docs/benchmarks-long.md.
bench-long: setup-test $(PEERS)/.installed
	$(BIN)/python -m benchmarks --long

# Pins every dependency with its hashes; the files name packages only.
lock: setup-test
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --no-strip-extras \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 pyproject.toml -o requirements.lock
	for extra in postgres celery k8s test; do \
	  $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-strip-extras --extra $$extra \
	    --no-emit-index-url --no-emit-find-links --python-version 3.11 -c requirements.lock pyproject.toml \
	    -o requirements-$$extra.lock; \
	done
	$(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-strip-extras --extra mutation \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 -c requirements-test.lock pyproject.toml -o requirements-mutation.lock
	for group in release bench build; do \
	  $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-strip-extras --group $$group \
	    --no-emit-index-url --no-emit-find-links --python-version 3.11 -o requirements-$$group.lock; \
	done

$(RELEASE)/.installed: requirements-release.lock
	$(PYTHON) -m venv --clear $(RELEASE) || scripts/install-venv $(PYTHON) $(RELEASE)
	$(RELEASE)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-release.lock
	touch $@

$(RUNTIME)/.installed: requirements.lock
	$(PYTHON) -m venv --clear $(RUNTIME) || scripts/install-venv $(PYTHON) $(RUNTIME)
	$(RUNTIME)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(RUNTIME)/bin/pip uninstall --quiet --disable-pip-version-check --yes pip setuptools
	touch $@

# What an installation holds, as CycloneDX, and under which licences; one that is not listed here has to be looked at.
LICENCES := MIT;MIT License;MIT-0;MIT-CMU;BSD;BSD License;BSD-2-Clause;BSD-3-Clause;0BSD;3-Clause BSD License;Zlib;$\
  CC0-1.0;Apache-2.0;Apache Software License;MPL-2.0;Mozilla Public License 2.0 (MPL 2.0);PSF-2.0;$\
  Python Software Foundation License

sbom: $(RELEASE)/.installed $(RUNTIME)/.installed
	mkdir -p dist
	$(RELEASE)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  -o dist/sbom.cdx.json $(RUNTIME)/bin/python
	$(RELEASE)/bin/pip-licenses --python $(RUNTIME)/bin/python --from mixed --format markdown --with-urls \
	  --partial-match --allow-only "$(LICENCES)" --output-file dist/licences.md
	@echo "dist/sbom.cdx.json and dist/licences.md are written."

# What is publicly known against the pinned versions.
audit: $(RELEASE)/.installed
	$(RELEASE)/bin/python scripts/audit requirements.lock

clean:
	rm -rf mutants $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
