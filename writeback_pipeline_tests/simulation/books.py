"""What a ledger has in its books, read for the judge: of the ledger in memory directly, of a store by SQL.

Read between the steps of a history, never by the code that is judged.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol

from writeback_pipeline.domain.bulk import Stage
from writeback_pipeline.domain.ledger import Attempt, WritebackFilter
from writeback_pipeline.domain.records import Operation
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, Status, Writeback
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.fakes.ledger import MemoryLedger

_OWED = (*OPEN_STATUSES, Status.FAILED)


class Books(Protocol):
    """One ledger's books."""

    def rows(self) -> Mapping[int, Writeback]:
        """Every writeback, by id."""

    def owners(self) -> Mapping[int, str]:
        """By writeback, whose it is now: a person's record id, or the scope of a window."""

    def unanswered(self) -> list[int]:
        """Attempts without an outcome, those aside that wrote a Task: what became of them is not asked, it is written
        again."""

    def attempts_of(self, writeback_ids: Collection[int]) -> list[Attempt]:
        """In the order of the journal."""

    def stage_of(self, job_id: str) -> Stage | None:
        """How far a Bulk job is; None for one that was never entered."""

    def next_due(self, now: datetime) -> datetime | None:
        """When anything more can be done for anybody; None when nobody is owed anything."""


class MemoryBooks:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._tables = ledger.tables
        self.attempts_of = ledger.attempts_of

    def rows(self) -> Mapping[int, Writeback]:
        return self._tables.rows

    def owners(self) -> Mapping[int, str]:
        return self._tables.owner_of

    def unanswered(self) -> list[int]:
        tasks = Operation.UPSERT_TASK
        return [id_ for id_, each in self._tables.open_attempts.items() if each.intent.operation is not tasks]

    def stage_of(self, job_id: str) -> Stage | None:
        job = self._tables.jobs.get(job_id)
        return None if job is None else job.stage

    def next_due(self, now: datetime) -> datetime | None:
        tables = self._tables
        dates = []
        for id_, person in tables.people.items():
            rows = [tables.rows[each] for each in tables.rows_of[id_]]
            owed = [row.next_attempt_at or now for row in rows if row.status in _OWED]
            if person.verify_after and person.moved_to is None:
                owed.append(person.verify_after)
            if owed or not person.is_free(now):
                dates.append(max(min(owed, default=now), person.lease_until or now))
        return min(dates, default=None)


class StoredBooks:
    """Any store that understands its SQL."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.attempts_of = store.attempts_of

    def rows(self) -> Mapping[int, Writeback]:
        return {row.id: row for row in self._store.writebacks(WritebackFilter(limit=None))}

    def owners(self) -> Mapping[int, str]:
        with self._store._database.reading() as session:
            query = "SELECT id, person_id FROM writebacks WHERE person_id IS NOT NULL"
            return dict(session.execute(query).fetchall())

    def unanswered(self) -> list[int]:
        with self._store._database.reading() as session:
            query = "SELECT id FROM delivery_attempts WHERE outcome IS NULL AND operation <> 'upsert_task' ORDER BY id"
            return [id_ for (id_,) in session.execute(query).fetchall()]

    def stage_of(self, job_id: str) -> Stage | None:
        with self._store._database.reading() as session:
            found = session.execute("SELECT stage FROM bulk_jobs WHERE job_id = $1", [job_id]).fetchall()
        return Stage(found[0][0]) if found else None

    def next_due(self, now: datetime) -> datetime | None:
        statuses = ", ".join(f"'{status}'" for status in _OWED)
        with self._store._database.reading() as session:
            [(due,)] = session.execute(
                "SELECT min(greatest(d.due, coalesce(p.lease_until, d.due))) FROM ("
                "SELECT w.person_id, coalesce(w.next_attempt_at, $1::TIMESTAMP) AS due FROM writebacks w "
                f"WHERE w.status IN ({statuses}) "
                "UNION ALL SELECT q.person_id, q.verify_after FROM people q "
                "WHERE q.verify_after IS NOT NULL AND q.moved_to_id IS NULL "
                "UNION ALL SELECT q.person_id, q.lease_until FROM people q WHERE q.lease_until > $1::TIMESTAMP"
                ") d JOIN people p ON p.person_id = d.person_id",
                [now],
            ).fetchall()
        return None if due is None else due.replace(tzinfo=UTC)


def books_of(ledger: Store | MemoryLedger) -> Books:
    return MemoryBooks(ledger) if isinstance(ledger, MemoryLedger) else StoredBooks(ledger)
