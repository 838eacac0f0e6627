"""Faults in words: options read from what a person typed, and what is worth telling of a fault that is armed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from writeback_pipeline.local_org.fault_kinds import KINDS
from writeback_pipeline.local_org.faults import Fault, takes_text


def options(kind: str, typed: Mapping[str, str]) -> dict[str, Any]:
    """Options by name as `faults.arm` takes them: texts as they are, everything else as JSON where it is JSON."""
    return {name: text if takes_text(kind, name) else _read(text) for name, text in typed.items()}


def peculiarities(fault: Fault) -> dict[str, Any]:
    """What was said of a fault and differs from what every fault of its kind has, `times` aside."""
    usual = Fault(kind=fault.kind)
    names = [name for name in Fault.__dataclass_fields__ if name not in ("id", "kind", "times", "options")]
    said = {name: getattr(fault, name) for name in names if getattr(fault, name) != getattr(usual, name)}
    own = {name: value for name, value in fault.options.items() if value != KINDS[fault.kind].options[name]}
    return said | own


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
