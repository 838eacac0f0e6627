"""Small files of opt-out changes for the tests."""

import csv
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

CONTACT, LEAD = "003wb000000CcWNAA0", "00Qwb000000Cb4jEAC"
RECEIVED_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
GOOD = {
    "kind": "unsubscribe",
    "object_type": "Contact",
    "salesforce_id": CONTACT,
    "occurred_at": "2026-11-23T09:05:07Z",
}


def csv_file(path: Path, rows: Iterable[Mapping[str, str]]) -> Path:
    """A CSV file with the columns of the first row."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def jsonl_file(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
