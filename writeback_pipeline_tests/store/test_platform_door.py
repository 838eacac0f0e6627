"""The platform queues by itself, with the role that docs/postgresql.md gives it: that much it can do, and no more."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import IsolationLevel

from writeback_pipeline.domain.ledger import Asked
from writeback_pipeline.domain.notes import clean_text
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.store.high_water import MarkFile
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.moving import Move, carry
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import NOW, claim_one, contact, everything, lead, unsubscribe, written
from writeback_pipeline_tests.postgres import server

DOCUMENT = Path(__file__).parents[2] / "docs" / "postgresql.md"
ROLE, QUEUEING = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1:3]
COLUMNS = ("kind", "object_type", "salesforce_id", "occurred_at", "delivery_key", "reason")
GOOD = ("unsubscribe", "Contact", contact(1).salesforce_id, NOW, "event-1", None)


@pytest.fixture(scope="module")
def url() -> str:
    return server().new_url()


@pytest.fixture
def store(url: str, tmp_path: Path) -> Store:
    made = Store(url, tmp_path)
    made.depth()
    with open_database(url).writing() as session:
        session.execute("DELETE FROM writebacks")
        session.execute("DELETE FROM people")
    return made


@pytest.fixture
def platform(store: Store, url: str) -> Iterator[psycopg.Connection]:
    """A session of the platform's own role, in another time zone than UTC."""
    schema = url.rpartition("=")[2]
    with psycopg.connect(server().url("postgres"), autocommit=True) as owner:
        owner.execute(f"SET search_path = {schema}".encode())
        create, *grants = ROLE.replace("SCHEMA public", f"SCHEMA {schema}").strip().split(";\n")
        if not owner.execute("SELECT 1 FROM pg_roles WHERE rolname = 'platform'").fetchall():
            owner.execute(create.encode())
        for grant in grants:
            owner.execute(grant.encode())
    with psycopg.connect(server().url("platform"), autocommit=True) as session:
        session.execute(f"SET search_path = {schema}".encode())
        session.execute("SET TimeZone = 'America/New_York'")
        yield session


def queue(platform: psycopg.Connection, *values: object) -> None:
    places = ", ".join(["%s"] * len(COLUMNS))
    platform.execute(f"INSERT INTO opt_out_changes ({', '.join(COLUMNS)}) VALUES ({places})".encode(), values)


def test_what_the_document_shows_queues_a_change_and_reads_what_became_of_it(
    platform: psycopg.Connection, store: Store
) -> None:
    insert, select = QUEUEING.split(";\n")[:2]
    platform.execute(insert.encode())
    assert platform.execute(select.encode()).fetchall() == [("pending", None, None)]
    (row,) = everything(store)
    assert (row.kind, row.salesforce_id, row.reason, row.subscriber_id, row.email) == (
        Kind.UNSUBSCRIBE, contact(1).salesforce_id, "Too many e-mails", "s-1", "one@example.org",
    )  # fmt: skip
    assert abs((datetime.now(UTC) - row.occurred_at).total_seconds()) < 3600
    written(store, claim_one(store, datetime.now(UTC)))
    assert platform.execute(select.encode()).fetchall()[0][0] == "written"
    assert platform.execute("SELECT status FROM subscriber_status").fetchall() == [("opted_out",)]


def test_instants_are_what_the_platform_meant_whatever_its_time_zone(
    platform: psycopg.Connection, store: Store
) -> None:
    queue(platform, *GOOD)
    platform.execute(
        "INSERT INTO opt_out_changes (kind, object_type, occurred_at, delivery_key) "
        "VALUES ('unsubscribe', 'Lead', '2026-11-23T07:00:00-05:00', 'event-2')"
    )
    assert [row.occurred_at for row in everything(store)] == [NOW, NOW]
    assert platform.execute("SELECT DISTINCT occurred_at FROM opt_out_changes").fetchall() == [(NOW,)]


def test_a_reason_is_cleaned_as_that_of_any_other_change(platform: psycopg.Connection, store: Store) -> None:
    reason = "".join(map(chr, range(1, 128)))
    queue(platform, *GOOD[:-1], reason)
    assert everything(store)[0].reason == clean_text(reason)


def test_a_change_goes_or_stays_with_the_transaction_that_makes_it(platform: psycopg.Connection, store: Store) -> None:
    with platform.transaction(force_rollback=True):
        queue(platform, *GOOD)
    assert everything(store) == []


def test_a_known_change_is_queued_once(platform: psycopg.Connection, store: Store) -> None:
    queue(platform, *GOOD)
    queue(platform, *GOOD)
    assert store.enqueue([unsubscribe(contact(1), key="event-1")], NOW).known == 1
    assert len(everything(store)) == 1


@pytest.mark.parametrize(
    "other",
    [
        ("resubscribe", *GOOD[1:]),
        ("unsubscribe", "Contact", contact(2).salesforce_id, *GOOD[3:]),
        ("unsubscribe", "Contact", None, *GOOD[3:]),
    ],
)
@pytest.mark.parametrize("erased", [False, True])
def test_another_change_with_a_known_key_is_refused_not_lost(
    platform: psycopg.Connection, store: Store, other: tuple[object, ...], erased: bool
) -> None:
    queue(platform, *GOOD)
    if erased:
        written(store, claim_one(store))
        store.erase(str(contact(1).salesforce_id), Asked("somebody", NOW + timedelta(days=1)))
    with pytest.raises(psycopg.errors.UniqueViolation, match="not queued: delivery_key is that of another change"):
        queue(platform, *other)
    queue(platform, *GOOD)
    assert len(everything(store)) == 1


def test_a_change_is_known_under_every_record_that_its_person_was(platform: psycopg.Connection, store: Store) -> None:
    became = [lead(1), contact(1), contact(2)]
    queue(platform, "unsubscribe", "Lead", became[0].salesforce_id, *GOOD[3:])
    store.redirect({became[0].salesforce_id: became[1]}, NOW)
    store.redirect({became[1].salesforce_id: became[2]}, NOW)
    for each in became:
        queue(platform, "unsubscribe", each.object_type, each.salesforce_id, *GOOD[3:])
    assert len(everything(store)) == 1


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("kind", "Bad Email", "kind is unsubscribe or resubscribe"),
        ("kind", "sent", "kind is unsubscribe or resubscribe"),
        ("object_type", None, "object_type is Contact or Lead"),
        ("salesforce_id", "00300000000001A", "salesforce_id is the 18 characters"),
        ("salesforce_id", "00Q000000000001AAA", "salesforce_id is the 18 characters"),
        ("salesforce_id", "003/../User/00500A", "salesforce_id is the 18 characters"),
        ("occurred_at", None, "occurred_at is when it happened"),
        ("occurred_at", "infinity", "occurred_at is when it happened"),
        ("occurred_at", "0001-01-01 BC", "occurred_at is when it happened"),
        ("delivery_key", "", "delivery_key names the change"),
        ("delivery_key", "a\x07b", "no control characters"),
        ("reason", "x" * 32_769, "32,768 characters at most"),
    ],
)
def test_what_cannot_be_a_change_is_refused_at_once(
    platform: psycopg.Connection, store: Store, column: str, value: object, told: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=f"not queued: .*{told}"):
        queue(platform, *(value if name == column else good for name, good in zip(COLUMNS, GOOD, strict=True)))
    assert everything(store) == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM writebacks",
        "SELECT * FROM settings",
        "INSERT INTO writebacks (id) VALUES (1)",
        "UPDATE opt_out_changes SET status = 'written'",
        "DELETE FROM opt_out_changes",
        "UPDATE people SET epoch = 0",
        "SELECT nextval('writeback_ids')",
        "CREATE TABLE mine (x INTEGER)",
    ],
)
def test_the_role_can_do_nothing_else(platform: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        platform.execute(statement.encode())


def test_what_happened_before_a_restore_is_read_back_first(
    platform: psycopg.Connection, store: Store, url: str
) -> None:
    with open_database(url).writing() as session:
        session.execute("INSERT INTO restores VALUES ('2026-11-24', '2026-11-24', 0, 0, 0, 0)")
    queue(platform, *GOOD)
    assert [(row.status, row.error_code) for row in everything(store)] == [(Status.UNKNOWN, "RESTORED")]
    with open_database(url).writing() as session:
        session.execute("DELETE FROM restores")


@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ])
def test_a_transaction_that_began_before_the_ledger_was_moved_leaves_nothing_behind(
    platform: psycopg.Connection, store: Store, url: str, tmp_path: Path, level: IsolationLevel
) -> None:
    platform.autocommit, platform.isolation_level = False, level
    platform.execute("SELECT 1 FROM opt_out_changes")
    old, new = (open_database(place, departed_too=True) for place in (url, tmp_path / "new.duckdb"))
    carry(Move(old, new, MarkFile(tmp_path / "old.mark"), MarkFile(tmp_path / "new.mark")), NOW, lambda _: None)
    with pytest.raises((psycopg.errors.RaiseException, psycopg.errors.SerializationFailure)):
        queue(platform, *GOOD)
    platform.rollback()
    with pytest.raises(psycopg.errors.RaiseException, match="not queued: the ledger was moved to another database"):
        queue(platform, *GOOD)
    platform.rollback()
    assert everything(store) == []
    with open_database(url, departed_too=True).writing() as session:
        session.execute("DELETE FROM moves")
