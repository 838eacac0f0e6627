"""Comparing an answer with the shape a recording had: its members at every level, their types, and what must be equal.

A shape is JSON. An object's members must be exactly those of the shape, unless it has a member `...` whose shape any
further ones fit; a list is compared position by position; `{"[]": s}` (`{"[1+]": s}`) is a list of any length (at least
one) whose items fit `s`. A text is a type, types joined by `|`, `=value` or `~pattern`; true, false, null and numbers
stand for themselves.
"""

import re
from collections.abc import Callable
from typing import Any

from writeback_pipeline.local_org import ids

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000")
_TYPES: dict[str, Callable[[Any], bool]] = {
    "any": lambda value: True,
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "datetime": lambda value: isinstance(value, str) and bool(_STAMP.fullmatch(value)),
}


def differences(shape: Any, value: Any, at: str = "$") -> list[str]:
    """One sentence for each place where `value` does not have the shape."""
    match shape:
        case {"[]": each}:
            return _each(each, value, at, at_least=0)
        case {"[1+]": each}:
            return _each(each, value, at, at_least=1)
        case dict():
            return _members(shape, value, at)
        case list():
            if not isinstance(value, list) or len(value) != len(shape):
                return [f"{at}: expected a list of {len(shape)}, got {value!r}"]
            return [
                d for i, (s, v) in enumerate(zip(shape, value, strict=True)) for d in differences(s, v, f"{at}[{i}]")
            ]
        case str():
            return [] if _fits(shape, value) else [f"{at}: expected {shape}, got {value!r}"]
        case _:
            same = type(shape) is type(value) and shape == value
            return [] if same else [f"{at}: expected {shape!r}, got {value!r}"]


def _each(shape: Any, value: Any, at: str, *, at_least: int) -> list[str]:
    if not isinstance(value, list) or len(value) < at_least:
        return [f"{at}: expected a list of at least {at_least}, got {value!r}"]
    return [d for i, item in enumerate(value) for d in differences(shape, item, f"{at}[{i}]")]


def _members(shape: dict[str, Any], value: Any, at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: expected an object, got {value!r}"]
    named = {name: s for name, s in shape.items() if name != "..."}
    found = [f"{at}: {name} is missing" for name in named if name not in value]
    for name, member in value.items():
        if name not in named and "..." not in shape:
            found.append(f"{at}: {name} was not recorded")
        else:
            found += differences(named.get(name, shape.get("...")), member, f"{at}.{name}")
    return found


def _fits(shape: str, value: Any) -> bool:
    if shape.startswith("="):
        return str(value) == shape[1:]
    if shape.startswith("~"):
        return isinstance(value, str) and re.search(shape[1:], value) is not None
    return any(_is(name, value) for name in shape.split("|"))


def _is(name: str, value: Any) -> bool:
    if name.startswith("id:"):
        return isinstance(value, str) and ids.normalise(value) == value and value.startswith(name[3:])
    return _TYPES[name](value)
