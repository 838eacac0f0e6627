"""References are as the code is: what is generated is up to date, and what is written by hand leaves nothing out."""

import ast
import re
from collections.abc import Iterator

import pytest

from writeback_pipeline.activity.schema import COLUMNS as EVENT_COLUMNS
from writeback_pipeline.domain.outcomes import OUTCOMES
from writeback_pipeline.domain.writebacks import TRANSITIONS, Status
from writeback_pipeline.salesforce import preflight_rules
from writeback_pipeline_tests.documents.generated import regenerated
from writeback_pipeline_tests.documents.pages import PROJECT, Page, files, hold, page, pages

SUBJECT_AT = {"Finding": 1, "_ok": 0, "_warning": 0, "_failure": 0, "_created": 2, "_limit": 0}
"""Functions that make a finding of `writebacks check`, and which of their arguments is its subject."""

NO_ERROR_CODES = {"READ_ONLY", "READ_WRITE"}
CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)+|UNDONE|RESTORED")


@pytest.mark.parametrize(
    "each", [page for page in pages() if "<!-- written by" in page.text], ids=lambda page: page.name
)
def test_what_is_generated_is_as_the_code_is(each: Page) -> None:
    now, then = regenerated(each.text).splitlines(), each.text.splitlines()
    hold(
        sorted({f"{each.name}: {line}" for line in set(now) ^ set(then)}),
        "type `make docs`, and look at what it changed",
    )


def test_every_table_and_column_of_the_store_is_described() -> None:
    dictionary = page("docs/data-dictionary.md")
    rows = [(line, cells) for line, cells in dictionary.rows() if not cells[-1]]
    tables = list(re.findall(r"### (\w+)\n\n\n", dictionary.text))
    hold(
        [*(f"{dictionary.name}:{line}: {cells[0]} has no meaning" for line, cells in rows), *tables],
        "say there what it means, and below a table's heading what a row is and who writes it",
    )


def test_every_environment_variable_is_in_the_reference() -> None:
    named = {
        value
        for name in files()
        if name.startswith("writeback_pipeline/") and name.endswith(".py")
        for value in strings((PROJECT / name).read_text("utf-8"))
        if re.fullmatch(r"(WRITEBACK|SALESFORCE|DAGSTER|CELERY)_[A-Z_]*[A-Z]", value)
    }
    reference = page("docs/settings.md").text.partition("## Environment variables")[2]
    hold(
        sorted(name for name in named if f"`{name}`" not in reference),
        "add it to docs/settings.md, Environment variables",
    )


def test_every_finding_of_check_is_explained() -> None:
    subjects = {preflight_rules.ASSIGNMENT_RULES, preflight_rules.DUPLICATE_RULES, preflight_rules.VALIDATION_RULES}
    for name in files():
        if re.fullmatch(
            r"writeback_pipeline/(commands/check\w*|salesforce/preflight_rules|store/server_condition)\.py", name
        ):
            subjects |= set(subjects_in(ast.parse((PROJECT / name).read_text("utf-8"))))
    assert {"login", "Email Opt Out", "daemon", "database server"} <= subjects
    told = page("docs/connecting.md").text.partition("## What check says")[2]
    hold(sorted(name for name in subjects if f"`{name}`" not in told), "add it to docs/connecting.md, What check says")


def test_every_status_and_every_error_code_of_ours_is_in_the_runbook() -> None:
    runbook = page("docs/runbook.md").text
    codes = {
        value
        for name in files()
        if re.match(r"writeback_pipeline/(domain|delivery|store|salesforce)/.*\.py", name)
        for value in strings((PROJECT / name).read_text("utf-8"))
        if CODE.fullmatch(value) and not value.startswith("SALESFORCE_")
    }
    assert len(codes) > 60
    wanted = {*codes, *map(str, Status)} - set(OUTCOMES) - NO_ERROR_CODES
    hold(
        sorted(name for name in wanted if f"`{name}`" not in runbook), "add it to docs/runbook.md, Error codes of ours"
    )


def test_the_arrows_between_statuses_are_legal() -> None:
    arrows = re.findall(r"(?m)^  (\w+) --> (\w+): ", page("docs/architecture.md").text)
    assert len(arrows) > 8
    hold(
        (f"{old} --> {new}" for old, new in arrows if Status(new) not in TRANSITIONS[Status(old)]),
        "correct the diagram of docs/architecture.md: TRANSITIONS has no such arrow",
    )


def test_every_column_of_event_files_is_in_the_dictionary() -> None:
    told = page("docs/data-dictionary.md").text.partition("## Mailing events")[2]
    assert re.findall(r"(?m)^\| `(\w+)` \|", told)[: len(EVENT_COLUMNS)] == list(EVENT_COLUMNS)


def strings(source: str) -> Iterator[str]:
    """The string constants of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def subjects_in(module: ast.Module) -> Iterator[str]:
    """The subjects of the findings that a module makes, by its own constants where they are named."""
    constants = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SUBJECT_AT:
            at = SUBJECT_AT[node.func.id]
            subject = node.args[at] if len(node.args) > at else None
            if isinstance(subject, ast.Constant):
                yield str(subject.value)
            elif isinstance(subject, ast.Name) and subject.id in constants:
                yield str(constants[subject.id])
