"""Every Markdown page of the project, taken apart: headings, links, tables, code spans and fenced blocks."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).parents[2]
_MADE = ("build", "dist", "node_modules", "mutants", "htmlcov", "test-output", "__pycache__", ".egg-info")
_KEPT = ("data/README.md", "data/sample/")
_MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: its language, the number of its first line, and its text."""

    language: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file; `name` is its path in the project, with slashes."""

    name: str
    text: str
    tokens: tuple[Token, ...]

    @property
    def path(self) -> Path:
        """The file."""
        return PROJECT / self.name

    def inline(self) -> Iterator[tuple[int, Token]]:
        """Links, images and code spans, each with the line on which its block begins."""
        for block in self.tokens:
            for token in block.children or ():
                yield (block.map[0] + 1 if block.map else 0), token

    def links(self) -> Iterator[tuple[int, str]]:
        """Where links and images lead to."""
        for line, token in self.inline():
            target = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
            if target is not None:
                yield line, str(target)

    def code_spans(self) -> Iterator[tuple[int, str]]:
        """What stands between backticks in the text."""
        for line, token in self.inline():
            if token.type == "code_inline":
                yield line, token.content

    def fences(self) -> Iterator[Fence]:
        """The fenced blocks, in order."""
        for token in self.tokens:
            if token.type == "fence" and token.map:
                yield Fence(token.info.strip(), token.map[0] + 2, token.content)

    def headings(self) -> list[str]:
        """The text of each heading, in order."""
        return [
            "".join(child.content for child in inline.children or ())
            for opened, inline in zip(self.tokens, self.tokens[1:], strict=False)
            if opened.type == "heading_open"
        ]

    def anchors(self) -> set[str]:
        """The anchors of its headings, as GitHub names them."""
        seen: Counter[str] = Counter()
        found = set()
        for heading in self.headings():
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return found

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows of its tables, headers included, each with its line and its cells as written."""
        lines = self.text.splitlines()
        for token in self.tokens:
            if token.type == "table_open" and token.map:
                for number in range(*token.map):
                    yield number + 1, [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[number].strip())[1:-1]]


def hold(problems: Iterable[str], remedy: str) -> None:
    """Fails with each problem on a line of its own, and what to do about it."""
    found = list(problems)
    assert not found, "\n".join(["", *found, f"-> {remedy}"])


@cache
def files() -> frozenset[str]:
    """The project's files, by their paths; what is made here (`.gitignore` has it) is none of them."""
    found = set()
    for folder, inner, names in os.walk(PROJECT):
        inner[:] = [name for name in inner if not name.startswith(".") and not name.endswith(_MADE)]
        found |= {(Path(folder) / name).relative_to(PROJECT).as_posix() for name in names}
    return frozenset(name for name in found if not name.startswith("data/") or name.startswith(_KEPT))


@cache
def pages() -> tuple[Page, ...]:
    """All pages of the project."""
    return tuple(page(name) for name in sorted(files()) if name.endswith(".md"))


@cache
def page(name: str) -> Page:
    """The page at that path in the project."""
    text = (PROJECT / name).read_text("utf-8")
    return Page(name, text, tuple(_MARKDOWN.parse(text)))
