"""The Writeback List as the database puts it into words, beside the same rows put into words by Python."""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, FlagResult, Kind, Status, Writeback, utc_text
from writeback_pipeline.store import listing
from writeback_pipeline.store.location import AnyDatabase, open_database
from writeback_pipeline.store.rows import INSTANTS, NAMES
from writeback_pipeline.store.session import storable
from writeback_pipeline_tests.postgres import server

ODD = [
    '"',
    "\\",
    "</script>",
    "\0",
    "\x1f",
    "\x7f",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\uffff",
    "🙅‍♀️",
    ".000000",
    "null",
    "\n",
]
TEXT = st.sampled_from(ODD) | st.text(st.characters(codec="utf-8"), max_size=20)
INSTANT = st.datetimes() | st.datetimes().map(lambda moment: moment.replace(microsecond=0))
ROWS = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(NAMES, st.none() | TEXT)
        | dict.fromkeys(INSTANTS, st.none() | INSTANT)
        | {
            "id": st.integers(1, 2**63 - 1),
            "kind": st.sampled_from(Kind),
            "object_type": st.sampled_from(ObjectType),
            "occurred_at": INSTANT,
            "delivery_key": TEXT,
            "status": st.sampled_from(Status),
            "flag_result": st.none() | st.sampled_from(FlagResult),
            "attempts": st.integers(0, 2**31 - 1),
            "created_at": INSTANT,
        }
    ),
    max_size=6,
    unique_by=(lambda row: row["id"], lambda row: row["delivery_key"]),
)
FIRST_AND_LAST = [
    {name: moment if name in INSTANTS else None for name in NAMES}
    | {"id": id_, "kind": Kind.SENT, "object_type": ObjectType.LEAD, "delivery_key": str(id_)}
    | {"status": Status.FAILED, "attempts": 0}
    for id_, moment in enumerate((datetime.min, datetime.max, datetime(2026, 11, 23, 9, 5, 7, 500_000)))
]


class RolledBack(Exception):
    """Ends a transaction that is to leave nothing."""


@pytest.fixture(scope="module", params=["duckdb", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AnyDatabase:
    """A database without rows."""
    if request.param == "postgresql":
        return open_database(server().new_url())
    return open_database(tmp_path_factory.mktemp("listing") / "writebacks.duckdb")


def in_python(row: Writeback) -> dict[str, Any]:
    return {name: utc_text(value) if isinstance(value, datetime) else value for name, value in row._asdict().items()}


@settings(max_examples=50)
@given(rows=ROWS, limit=st.none() | st.integers(1, 4))
@example(rows=FIRST_AND_LAST, limit=None)
def test_the_database_says_of_every_row_what_python_says(
    empty: AnyDatabase, rows: list[dict[str, Any]], limit: int | None
) -> None:
    only = WritebackFilter(limit=limit)
    with suppress(RolledBack), empty.writing() as session:
        for shown in rows:
            row = shown | {"settled_at": None if shown["status"] in OPEN_STATUSES else shown["created_at"]}
            places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            values = [storable(value) if isinstance(value, str) else value for value in row.values()]
            session.execute(f"INSERT INTO writebacks ({', '.join(row)}) VALUES ({places})", values)
        expected = [in_python(row) for row in listing.writebacks(session, only)]
        objects = listing.json_objects(session, only)
        listed = listing.values(session, only)
        raise RolledBack
    assert len(expected) == min(len(rows), limit or len(rows))
    assert [json.loads(text, object_pairs_hook=list) for text in objects] == [
        json.loads(json.dumps(row), object_pairs_hook=list) for row in expected
    ]
    assert not any("\n" in text for text in objects)
    assert listed == [tuple(row.values()) for row in expected]
