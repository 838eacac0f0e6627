"""Mailing events of one day for a benchmark."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.organisation import people

DAY = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)


def add_mailing(home: Path, number: int, mailing: int) -> None:
    """One more mailing to so many people, as one more event file."""
    folder = home / "mailing_activity" / f"date={DAY.date()}"
    folder.mkdir(parents=True, exist_ok=True)
    same = {
        "kind": "sent",
        "mailing_id": f"m-{mailing}",
        "mailing_name": f"November Newsletter {mailing}",
        "subject": "What is new this week, and where to meet us in the coming ones",
        "object_type": "Contact",
    }
    columns = {name: pa.array([text] * number) for name, text in same.items()} | {
        "event_id": pa.array([f"{mailing}-{each}" for each in range(number)]),
        "occurred_at": pa.array([DAY + timedelta(minutes=mailing)] * number, pa.timestamp("us", tz="UTC")),
        "subscriber_id": pa.array([f"s-{each}" for each in range(number)]),
        "salesforce_id": pa.array(people(number)),
        "is_machine_open": pa.array([False] * number),
    }
    pq.write_table(pa.table(columns), folder / f"mailing-{mailing}.parquet")
