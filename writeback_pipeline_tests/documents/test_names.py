"""What pages name exists: environment variables, settings and their values, make targets, files of the project."""

import re
from collections.abc import Iterator
from functools import cache

import pytest

from writeback_pipeline.domain.settings import MEANINGS
from writeback_pipeline_tests.documents.pages import PROJECT, Page, files, hold, pages
from writeback_pipeline_tests.documents.shell import of_setting, shell_lines

_VARIABLE = re.compile(r"(?<![A-Z0-9_])(?:WRITEBACK|SALESFORCE|DAGSTER|CELERY|TORTURE)_[A-Z][A-Z0-9_]*")
_ASSIGNMENT = re.compile(rf"(?<![\w.-])(?:{'|'.join(MEANINGS)})=[^\s`,;)]+")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|toml|yaml|lock)")
_SOURCES = ("writeback_pipeline/", "writeback_pipeline_tests/", "deploy/", "scripts/", "benchmarks/")
_MADE_HERE = ("data/", "dist/", "build/", "test-output/", ".venv/", "mutants/")
"""Folders that Git ignores: what is in them comes and goes."""


@pytest.fixture(params=pages(), ids=lambda each: each.name)
def document(request: pytest.FixtureRequest) -> Page:
    each: Page = request.param
    return each


def test_every_environment_variable_is_read_somewhere(document: Page) -> None:
    hold(
        (f"{document.name}:{line}: {name}" for line, name in _found(document, _VARIABLE) if name not in _code()),
        "nothing in the project reads a variable of that name: correct it, or take it off the page",
    )


def test_every_setting_takes_the_value_that_is_named(document: Page) -> None:
    told = [(line, of_setting(text)) for line, text in _found(document, _ASSIGNMENT)]
    hold((f"{document.name}:{line}: {trouble}" for line, trouble in told if trouble), "name a value that it takes")


def test_every_make_target_is_in_the_makefile(document: Page) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    code = [*shell_lines(document), *document.code_spans()]
    named = [(line, word) for line, text in code for word in re.findall(r"(?:^|[;&] *)make ([a-z][\w-]*)", text)]
    hold(
        (f"{document.name}:{line}: make {word}" for line, word in named if word not in targets),
        f"the Makefile has {', '.join(sorted(targets))}",
    )


def test_every_file_that_is_named_is_there(document: Page) -> None:
    roots = (PROJECT, PROJECT / "writeback_pipeline", PROJECT / "writeback_pipeline_tests", document.path.parent)
    names = {name.rpartition("/")[2] for name in files()}
    hold(
        (
            f"{document.name}:{line}: {name}"
            for line, name in ((line, text.partition("::")[0]) for line, text in document.code_spans())
            if _FILE.fullmatch(name)
            and _is_ours(name)
            and not (any((root / name).exists() for root in roots) if "/" in name else name in names or name in _code())
        ),
        "paths count from the project, the package, its tests or the page's folder; others begin with / or ~",
    )


def _is_ours(name: str) -> bool:
    """Whether that looks like a path of the project, rather than one of an address, a type or something made."""
    first = name.partition("/")[0]
    if name.startswith(_MADE_HERE) and not name.startswith("data/sample"):
        return False
    return "/" not in name or any((PROJECT / folder / first).exists() for folder in ("", *_SOURCES, "docs"))


def _found(document: Page, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(document.text.splitlines(), 1):
        for name in pattern.findall(line):
            yield number, name


@cache
def _code() -> str:
    """Everything but pages, in which a variable may be read."""
    read = (name for name in files() if name.startswith(_SOURCES) or "/" not in name)
    return "\n".join(
        (PROJECT / name).read_text("utf-8", "replace") for name in sorted(read) if not name.endswith(".md")
    )
