"""Rows of a JSON Lines file: one object a line, blank lines skipped, streamed."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from writeback_pipeline.domain.intake import COLUMNS
from writeback_pipeline.intake.rows import RawRow
from writeback_pipeline.intake.text_lines import text_lines


def jsonl_rows(file: BinaryIO) -> Iterator[RawRow]:
    """A row for every line that is not blank; null and an absent name are the same."""
    for number, (line, damage) in enumerate(text_lines(file), start=1):
        if line.strip():
            values, problems = _parsed(line)
            yield RawRow(number, values, (damage, *problems) if damage else problems)


def _parsed(line: str) -> tuple[dict[str, str], tuple[str, ...]]:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, (f"is not JSON: {error}",)
    if not isinstance(parsed, dict):
        return {}, ('is not a JSON object such as {"kind": "unsubscribe", ...}',)
    values: dict[str, str] = {}
    problems = []
    for name, value in parsed.items():
        if name not in COLUMNS:
            problems.append(f"unknown name {name!a}: the names are {', '.join(COLUMNS)}")
        elif (text := _text(value)) is None:
            problems.append(f"{name}: must be a text, not {json.dumps(value)[:40]}")
        else:
            values[name] = text
    return values, tuple(problems)


def _text(value: Any) -> str | None:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
