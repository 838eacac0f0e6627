"""No link of any page leads nowhere, and no table is broken. Pages elsewhere are not asked for."""

from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from writeback_pipeline_tests.documents.pages import PROJECT, Page, hold, page, pages


@pytest.fixture(params=pages(), ids=lambda each: each.name)
def document(request: pytest.FixtureRequest) -> Page:
    each: Page = request.param
    return each


def test_every_link_leads_somewhere(document: Page) -> None:
    told = [(line, target, _trouble(document, target)) for line, target in document.links()]
    hold(
        (f"{document.name}:{line}: {target} {trouble}" for line, target, trouble in told if trouble),
        "correct the link; paths count from the page's folder",
    )


def test_every_row_of_a_table_has_as_many_cells_as_its_header(document: Page) -> None:
    rows = list(document.rows())
    hold(
        (
            f"{document.name}:{line}: {len(cells)} cells, the row before has {len(before)}"
            for (earlier, before), (line, cells) in pairwise(rows)
            if line == earlier + 1 and len(cells) != len(before)
        ),
        "a cell too many is not shown at all; write a | within a cell as \\|",
    )


def test_what_looks_like_a_table_is_one(document: Page) -> None:
    hold(
        (
            f"{document.name}:{token.map[0] + 1}: {token.content.splitlines()[0][:60]}"
            for token in document.tokens
            if token.type == "inline" and token.map and any(line.startswith("|") for line in token.content.splitlines())
        ),
        "put an empty line before the table, and below its header a line of dashes with as many cells",
    )


def test_every_page_is_reached_from_the_readme() -> None:
    found, to_see = set(), [Path("README.md")]
    while to_see:
        name = to_see.pop()
        if name in found:
            continue
        found.add(name)
        for _, target in page(name.as_posix()).links():
            path = (name.parent / unquote(urlsplit(target).path)) if not urlsplit(target).scheme else Path()
            resolved = (PROJECT / path).resolve().relative_to(PROJECT)
            if (PROJECT / resolved).is_dir():
                to_see += [each.relative_to(PROJECT) for each in (PROJECT / resolved).glob("*.md") if resolved.name]
            elif path.suffix == ".md":
                to_see.append(resolved)
    unreached = {each.name for each in pages()} - {name.as_posix() for name in found}
    hold(
        sorted(name for name in unreached if not name.startswith("writeback_pipeline_tests/")),
        "link it from docs/README.md",
    )


def _trouble(document: Page, target: str) -> str:
    """What is wrong with a link, and what to do; empty where nothing is."""
    parts = urlsplit(target)
    if parts.scheme:
        if parts.scheme not in ("https", "http") or not parts.hostname or " " in target:
            return "is no address of the web such as https://example.org/"
        return ""
    path = (document.path.parent / unquote(parts.path)).resolve() if parts.path else document.path
    if not path.is_relative_to(PROJECT):
        return "leads out of the project"
    if not path.exists():
        return f"leads to {path.relative_to(PROJECT)}, which is not there"
    if parts.fragment and path.suffix == ".md":
        anchors = page(path.relative_to(PROJECT).as_posix()).anchors()
        if parts.fragment not in anchors:
            return f"names no heading of {path.name}, whose anchors are {', '.join(sorted(anchors))}"
    return ""
