"""The parts of pages that are written from the code: the settings, the commands, the columns of the store.

`make docs` writes them between their marks; the rest of a page, and what the columns mean, is written by hand.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from writeback_pipeline.cli import main
from writeback_pipeline.domain.outcomes import OUTCOMES, Action
from writeback_pipeline.domain.settings import MEANINGS, WritebackSettings, as_mapping, setting_text, takes
from writeback_pipeline.store.database import Database
from writeback_pipeline_tests.documents.pages import PROJECT, files

_WORDS = {"VARCHAR": "text", "TIMESTAMP": "UTC instant"}
_HAPPENS = {
    Action.RETRY: "tried again",
    Action.REDIRECT: "followed to where the record went",
    Action.PERSON: "fails, needs a person",
    Action.CONFIGURATION: "the run stops, no row fails",
    Action.QUOTA: "waits, no row fails",
}
MARK, END = "<!-- written by `make docs`: {} -->", "<!-- end -->"


def regenerated(text: str) -> str:
    """The page with every part between marks as it is to be now."""
    pattern = MARK.format(r"([\w ]+)") + "\n.*?" + END
    return re.sub(
        pattern,
        lambda found: "\n\n".join([MARK.format(found[1]), "\n".join(PARTS[found[1]](found[0])).strip(), END]),
        text,
        flags=re.DOTALL,
    )


def _settings(_: str) -> Iterator[str]:
    readers = _readers()
    yield "| setting | takes | default | what it is for | read by |"
    yield "|---|---|---|---|---|"
    for name, default in as_mapping(WritebackSettings()).items():
        rooms = ", ".join(f"`{room}`" for room in sorted(readers[name]))
        yield f"| `{name}` | {takes(name)} | `{setting_text(default)}` | {MEANINGS[name]} | {rooms} |"


def _readers() -> Mapping[str, set[str]]:
    """Setting to the rooms of the package that read it from what they call settings."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in files():
        if name.startswith("writeback_pipeline/") and name.endswith(".py") and name.count("/") > 1:
            for node in ast.walk(ast.parse((PROJECT / name).read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and "settings" in _name(node.value):
                    found["time_zone" if node.attr == "zone" else node.attr].add(name.split("/")[1])
    return found


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _commands(_: str) -> Iterator[str]:
    for path, command, context in commands():
        arguments = [
            each for each in command.collect_usage_pieces(context) if each != "[OPTIONS]" and "COMMAND" not in each
        ]
        yield from ["", f"## {' '.join(path[1:])}", "", f"`{' '.join([*path, *arguments])}`"]
        yield from ["", *_paragraphs(command.help or "")]
        options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
        if options:
            yield from ["", "| option | | default |", "|---|---|---|"]
            yield from (_option(each, context) for each in options)


def commands() -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Every command that can be typed, with the words that lead to it; groups only where they do something alone."""

    def within(
        path: tuple[str, ...], command: click.Command, parent: click.Context | None
    ) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
        context = click.Context(command, parent=parent, info_name=path[-1])
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield path, command, context
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                if not inner.hidden:
                    yield from within((*path, name), inner, context)

    return within(("writebacks",), main, None)


def _paragraphs(text: str) -> Iterable[str]:
    joined = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n\n".join(joined).splitlines()


def _option(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    metavar = "" if option.is_flag else f" `{option.make_metavar(context)}`"
    said = option.help or ""
    if option.required:
        said += " Required."
    if option.multiple:
        said += " May be given several times."
    default = option.get_default(context)
    shown = f"`{default}`" if isinstance(default, str | int) and not isinstance(default, bool) else ""
    return "| " + " | ".join(each.replace("|", "\\|") for each in (names + metavar, said.strip(), shown)) + " |"


def _tables(before: str) -> Iterator[str]:
    """The store's tables and columns as they are, each with what the page has said of it."""
    sections = {section.partition("\n")[0].strip(): section for section in before.split("\n### ")[1:]}
    for table, columns in store_columns().items():
        section = sections.get(table, "")
        told = dict(re.findall(r"(?m)^\| `(\w+)` \| [^|]* \| (.*) \|$", section))
        words = re.match(r"\w+\n\n([^|#<\n].*)", section)
        yield from ["", f"### {table}", "", words[1] if words else ""]
        yield from ["", "| column | type | meaning |", "|---|---|---|"]
        yield from (f"| `{name}` | {type_} | {told.get(name, '')} |" for name, type_ in columns)


def store_columns() -> dict[str, list[tuple[str, str]]]:
    """Table or view of a new database to the names and types of its columns, in their order."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with TemporaryDirectory() as folder, Database(Path(folder) / "writebacks.duckdb").writing() as session:
        rows = session.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY 1, ordinal_position"
        ).fetchall()
    for table, name, type_ in rows:
        found[table].append((name, _WORDS.get(type_, type_.lower())))
    return found


def _outcomes(_: str) -> Iterator[str]:
    yield "| code | what happens | advice |"
    yield "|---|---|---|"
    for code, outcome in sorted(OUTCOMES.items()):
        yield f"| `{code}` | {_HAPPENS[outcome.action]} | {outcome.advice} |"


def _rooms(_: str) -> Iterator[str]:
    """Which folder of the package imports which, as a diagram; the command line and the modules beside it bind all."""
    edges = set()
    for name in files():
        path = name.split("/")
        if path[0] == "writeback_pipeline" and len(path) > 2 and name.endswith(".py") and path[1] != "commands":
            for imported in re.findall(
                r"(?m)^\s*from writeback_pipeline\.(\w+)\.", (PROJECT / name).read_text("utf-8")
            ):
                edges.add((path[1], imported))
    yield "```mermaid"
    yield "flowchart TD"
    yield from (f"  {one} --> {other}" for one, other in sorted(edges) if one != other)
    yield "  local_org"
    yield "```"


PARTS: Mapping[str, Callable[[str], Iterable[str]]] = {
    "settings": _settings,
    "commands": _commands,
    "tables": _tables,
    "outcomes": _outcomes,
    "rooms": _rooms,
}
"""Name of a part to its lines, of which the first argument is what the page has now."""
