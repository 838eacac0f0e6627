"""The `writebacks` commands that pages name, and what the real command line would not take of them.

Nothing is run here: words are held against the parsers of the commands.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from writeback_pipeline.cli import main
from writeback_pipeline.domain.settings import InvalidSetting, parse_setting
from writeback_pipeline_tests.documents.pages import Page

SHELL_LANGUAGES = ("", "sh", "console")
_SEPARATORS = re.compile(r"[|&;<>()]+")
_SYNTAX = re.compile(r"[\[\]…]|\.\.\.")
_OURS = ("writebacks", ".venv/bin/writebacks")


@dataclass(frozen=True, slots=True)
class Named:
    """A command as a page names it; `whole` where it is meant to be typed as it stands."""

    page: str
    line: int
    words: tuple[str, ...]
    whole: bool

    @property
    def where(self) -> str:
        """Where it stands, and what."""
        return f"{self.page}:{self.line}: writebacks {shlex.join(self.words)}"


def named_commands(page: Page) -> Iterator[Named]:
    """The `writebacks` commands of a page's blocks and code spans."""
    for line, text in shell_lines(page):
        for words in () if text.endswith("# exit 2") else ours(text):  # that one is to be refused
            yield Named(page.name, line, words, whole=not _SYNTAX.search(text))
    for line, text in page.code_spans():
        if text.startswith(_OURS):
            for words in ours(_SYNTAX.sub(" ", text)):
                yield Named(page.name, line, words, whole=False)


def shell_lines(page: Page) -> Iterator[tuple[int, str]]:
    """The lines of a page's shell blocks, those that go on behind a backslash as one; of consoles what is typed."""
    for fence in page.fences():
        if fence.language in SHELL_LANGUAGES:
            numbered = enumerate(fence.text.replace("\\\n", "  ").splitlines(), fence.line)
            for number, line in numbered:
                if fence.language != "console" or line.startswith("$ "):
                    yield number, line.removeprefix("$ ")


def ours(text: str) -> Iterator[tuple[str, ...]]:
    """The words behind each `writebacks` of a shell line; comments are none of it, nor is a release of that name."""
    if text.startswith("helm "):
        return
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        yield from ours(inner)
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        tokens = list(lexer)
    except ValueError:  # prose or a drawing, with an apostrophe
        return
    command: list[str] | None = None
    for token in [*tokens, ";"]:
        if _SEPARATORS.fullmatch(token):
            if command is not None:
                yield tuple(command)
            command = None
        elif command is not None:
            command.append(token)
        elif token in _OURS:
            command = []


def trouble(command: Named) -> str:
    """What the command line would not take of that, and what it offers; empty where all is well."""
    try:
        return _trouble(main, click.Context(main, info_name="writebacks"), list(command.words), command.whole)
    except click.UsageError as error:
        return error.format_message()


def _trouble(command: click.Command, context: click.Context, words: list[str], whole: bool) -> str:
    given, rest, _ = command.make_parser(context).parse_args(words)
    if isinstance(command, click.Group) and rest:
        chosen = command.get_command(context, rest[0])
        if chosen is None:
            if not whole and rest[0].isupper():
                return ""
            return f"there is no {rest[0]}; {command.name} has {', '.join(command.list_commands(context))}"
        return _trouble(chosen, click.Context(chosen, parent=context, info_name=rest[0]), rest[1:], whole)
    for parameter in command.params:
        for value in _values(given.get(parameter.name or "")):
            told = _of_value(parameter, value)
            if told:
                return told
    missing = [each for each in command.params if each.required and not _values(given.get(each.name or ""))]
    if whole and missing:
        return f"{', '.join(each.make_metavar(context) for each in missing)} is missing"
    return f"takes no {' '.join(rest)}" if rest else ""


def _values(given: object) -> Sequence[str]:
    if isinstance(given, str):
        return [given]
    return [each for each in given if isinstance(each, str)] if isinstance(given, list | tuple) else []


def _of_value(parameter: click.Parameter, value: str) -> str:
    if value.isupper() and value.isalpha():
        return ""  # stands for a value
    if isinstance(parameter.type, click.Choice) and not set(value.split(",")) <= set(map(str, parameter.type.choices)):
        return f"{parameter.opts[0]} takes {', '.join(map(str, parameter.type.choices))}, not {value}"
    return of_setting(value) if parameter.make_metavar(click.Context(main)) == "NAME=VALUE..." else ""


def of_setting(assignment: str) -> str:
    """What is wrong with NAME=VALUE as a setting; empty where nothing is."""
    name, _, value = assignment.partition("=")
    try:
        parse_setting(name, value)
    except InvalidSetting as error:
        return "" if name.isupper() or value.isupper() else str(error)
    return ""
