"""The form that arms one fault: an input for every option that its kind has, and what was typed read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from writeback_pipeline.local_org import fault_texts, faults
from writeback_pipeline.local_org.fault_kinds import KINDS, MATCHERS, OPERATIONS, Kind
from writeback_pipeline.local_org.faults import FaultError
from writeback_pipeline.local_org.pages.visit import Visit, go_to, render
from writeback_pipeline.local_org.record_view import PEOPLE

_OBJECTS = (*PEOPLE, "Note", "ContentNote", "Task")
_HINTS = {
    "times": "How often it strikes before it ends; empty: until it is cleared.",
    "probability": "The share of what matches that is struck, from 0 to 1.",
    "every": "Only every n-th call or row that matches; empty: each.",
    "seed": "Another number draws others.",
    "path": "A regular expression, looked for in path and query.",
    "method": "GET, POST, PATCH, DELETE; empty: any.",
    "object": "Which object's records; empty: any.",
    "operation": "Which kind of write; empty: any.",
    "record_id": "One record's id, 18 characters; empty: any.",
    "times_per_record": "The share is one of records, and each is struck so often.",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the form; with `choices` a list to choose from."""

    name: str
    value: str
    hint: str
    choices: tuple[str, ...] = ()


def show(visit: Visit) -> Response:
    """The empty form of that kind of fault."""
    return _form(visit.path["kind"], {"times": "1"})


def arm(visit: Visit) -> Response:
    """Arm the fault as it was filled in, or say what is wrong with that."""
    kind, typed = visit.path["kind"], {name: text.strip() for name, text in visit.form.items()}
    try:
        options = fault_texts.options(kind, {name: text for name, text in typed.items() if text})
        faults.arm(visit.connection, kind, **options)
    except FaultError as error:
        return _form(kind, typed, trouble=str(error))
    return go_to("/setup?did=arm#armed")


def _form(name: str, typed: Mapping[str, str], trouble: str | None = None) -> Response:
    kind = KINDS.get(name)
    if kind is None:
        return render("refused.html", 404, title="No such fault", told="The setup page lists those there are.")
    inputs = list(_inputs(kind, typed))
    return render("fault.html", 400 if trouble else 200, name=name, kind=kind, inputs=inputs, trouble=trouble)


def _inputs(kind: Kind, typed: Mapping[str, str]) -> Iterator[Input]:
    choices = {"object": ("", *_OBJECTS), "operation": ("", *OPERATIONS.get(kind.level, ()))}
    for name, default in kind.options.items():
        value = typed.get(name, _text(default))
        yield Input(name, value, "", ("true", "false") if isinstance(default, bool) else ())
    for name in ("times", *sorted(MATCHERS[kind.level]), "probability", "every", "seed"):
        yield Input(name, typed.get(name, ""), _HINTS[name], choices.get(name, ()))


def _text(default: Any) -> str:
    return default if isinstance(default, str) else str(default).lower()
