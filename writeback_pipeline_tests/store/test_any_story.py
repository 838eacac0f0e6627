"""Whatever happens in whatever order: statuses move along the arrows only, nothing is lost, nobody is served twice.

The state machine works on the store's functions over a database in memory, one transaction per step, with two workers
who keep stale claims, die, come back late, and get every kind of answer.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import duckdb
import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from writeback_pipeline.domain.ledger import LEASE, Claim
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, TRANSITIONS, Kind, Status
from writeback_pipeline.store import claims, journal, queue, recovery, redirects, schema, settling
from writeback_pipeline.store.dialect import DUCKDB
from writeback_pipeline.store.session import Session
from writeback_pipeline_tests.contracts.story import NOW, answered, contact, intent, opted_out, settled, unsubscribe

PEOPLE = st.integers(0, 3)
WORKERS = st.sampled_from(["a", "b"])
ENDINGS = {
    Answer.OK: Status.WRITTEN,
    Answer.REJECTED: Status.FAILED,
    Answer.NOT_SENT: Status.WAITING,
    Answer.UNKNOWN: Status.UNKNOWN,
}


class AnyStory(RuleBasedStateMachine):
    """One ledger, two workers, a clock that only moves forward."""

    @initialize()
    def open(self) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("SET TimeZone = 'UTC'")
        schema.migrate(Session(self.connection, DUCKDB), 0, schema.MIGRATIONS)
        self.now = NOW
        self.queued: set[str] = set()
        self.held: dict[str, list[Claim]] = {"a": [], "b": []}
        self.notes: Counter[int] = Counter()
        self.statuses: dict[int, Status] = {}
        self.epochs: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self.connection.begin()
        yield Session(self.connection, DUCKDB)
        self.connection.commit()

    def rows(self, query: str) -> list[Any]:
        return self.connection.execute(query).fetchall()

    @rule(person=PEOPLE, minutes=st.integers(-60, 60), kind=st.sampled_from([Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE]))
    def enqueue(self, person: int, minutes: int, kind: Kind) -> None:
        change = unsubscribe(contact(person), NOW + timedelta(minutes=minutes), kind)
        with self.transaction() as session:
            queue.enqueue(session, [change, change], self.now)
        self.queued.add(change.delivery_key)

    @rule(worker=WORKERS, limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        with self.transaction() as session:
            recovery.recover(session, self.now)
            claimed = claims.claim(session, worker, self.now, limit, LEASE)
            claimed = claimed or claims.claim_suspects(session, worker, self.now, limit, LEASE)
        for claim in claimed:
            assert {row.status for row in claim.taken} <= {Status.PENDING, Status.WAITING}
            live = [held for theirs in self.held.values() for held in theirs if held.lease_until > self.now]
            assert claim.person not in {held.person for held in live if self.epochs[key(held)] == held.epoch}
        self.held[worker] += claimed

    @rule(worker=WORKERS, answer=st.sampled_from(list(Answer)), dies=st.booleans())
    def deliver(self, worker: str, answer: Answer, dies: bool) -> None:
        """Send everything held, under leases that may have run out or passed to the other worker."""
        held, self.held[worker] = self.held[worker], []
        intents = [
            intent(claim, operation, row, at=self.now)
            for claim in held
            for row in claim.taken
            for operation in (Operation.SET_FLAG, Operation.CREATE_NOTE)
        ]
        with self.transaction() as session:
            ids = journal.journal(session, intents)
        sent = {(each.writeback_id, each.operation): id_ for each, id_ in zip(intents, ids, strict=True) if id_}
        for each, id_ in zip(intents, ids, strict=True):
            assert (id_ is None) == (each.send_deadline <= self.now or self.epochs[each.person_id] != each.epoch)
        if dies:
            return
        ours = [(claim, row) for claim in held for row in claim.taken if (row.id, Operation.CREATE_NOTE) in sent]
        if answer is Answer.OK:
            self.notes.update(row.id for _, row in ours)
        with self.transaction() as session:
            fenced = settling.record(
                session,
                [answered(id_, answer) for id_ in sent.values()],
                [settled(claim, ENDINGS[answer], row)._replace(next_attempt_at=self.now) for claim, row in ours],
                [opted_out(claim, row=row) for claim, row in ours if answer is Answer.OK],
                self.now,
                release=True,
            )
        assert fenced == 0

    @rule(worker=WORKERS)
    def record_late(self, worker: str) -> None:
        """Record outcomes without having journalled anything: allowed for the holder, fenced off for anybody else."""
        held, self.held[worker] = self.held[worker], []
        current = [claim for claim in held if self.epochs[key(claim)] == claim.epoch]
        settlements = [settled(claim, Status.FAILED, row) for claim in held for row in claim.taken]
        with self.transaction() as session:
            fenced = settling.record(session, [], settlements, [], self.now, release=True)
        assert fenced == len(settlements) - sum(len(claim.taken) for claim in current)

    @rule(worker=WORKERS)
    def give_up(self, worker: str) -> None:
        with self.transaction() as session:
            claims.release(session, worker, [claim.lease for claim in self.held[worker]])
        self.held[worker] = []

    @rule(worker=WORKERS)
    def extend(self, worker: str) -> None:
        with self.transaction() as session:
            self.held[worker] = claims.extend(session, worker, self.held[worker], self.now)

    @rule()
    def retry(self) -> None:
        with self.transaction() as session:
            queue.retry(session, [], [Status.FAILED, Status.WAITING])

    @rule(person=PEOPLE, to=st.integers(0, 5))
    def redirect(self, person: int, to: int) -> None:
        with self.transaction() as session:
            redirects.redirect(session, {contact(person).salesforce_id: contact(to)}, self.now)

    @rule(seconds=st.sampled_from([1, 60, 200, 1200]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def statuses_move_along_the_arrows(self) -> None:
        now = {id_: Status(status) for id_, status in self.rows("SELECT id, status FROM writebacks")}
        for id_, before in self.statuses.items():
            assert now[id_] in {before, *TRANSITIONS[before]}
        self.statuses = now

    @invariant()
    def nothing_is_lost_and_no_note_is_written_twice(self) -> None:
        assert {key for (key,) in self.rows("SELECT delivery_key FROM writebacks")} == self.queued
        assert max(self.notes.values(), default=1) == 1
        assert all(self.statuses[id_] is Status.WRITTEN for id_ in self.notes)

    @invariant()
    def epochs_never_go_back_and_moved_people_own_nothing_open(self) -> None:
        epochs = dict(self.rows("SELECT person_id, epoch FROM people"))
        assert all(epochs[person] >= epoch for person, epoch in self.epochs.items())
        self.epochs = epochs
        moved = {person for (person,) in self.rows("SELECT person_id FROM people WHERE moved_to_id IS NOT NULL")}
        owners = {
            person
            for person, status in self.rows("SELECT person_id, status FROM writebacks")
            if status in OPEN_STATUSES
        }
        assert not moved & owners


def key(claim: Claim) -> str:
    return claim.person.salesforce_id


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(
    max_examples=40, stateful_step_count=20, derandomize=True, suppress_health_check=list(HealthCheck)
)
