"""Whatever happens in whatever order, step by step: changes come, runs end well, badly or not at all, users interfere.

After every step what must always hold is checked, and at the end of every story what must hold at rest.
"""

import os
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.writebacks import TRANSITIONS, Change, Kind, Status
from writeback_pipeline_tests.simulation.engine import Disturb, Killed, Worker
from writeback_pipeline_tests.simulation.history import History, Traits
from writeback_pipeline_tests.simulation.verdict import notes_too_many, troubles_of

PEOPLE = st.integers(0, 7)
CHANGES = st.tuples(PEOPLE, st.sampled_from([Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE]), st.integers(0, 60))


class AnyDelivery(RuleBasedStateMachine):
    """One ledger, one organisation, a clock that only moves forward."""

    @initialize(key_records=st.booleans(), rows_per_call=st.sampled_from([1, 2, 1000]))
    def begin(self, key_records: bool, rows_per_call: int) -> None:
        traits = Traits(True, True, True, key_records=key_records, rows_per_call=rows_per_call)
        self.history = History(0, forced=traits)
        kinds = [ObjectType.CONTACT, ObjectType.LEAD] * 4
        self.history.people = [self.history.organisation.person(kind) for kind in kinds]
        self.history.luck.on = False
        self.queued = 0
        self.statuses: dict[int, Status] = {}

    def id_of(self, person: int) -> str:
        return self.history.people[person].salesforce_id

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=4))
    def enqueue(self, changes: list[tuple[int, Kind, int]]) -> None:
        for person, kind, minutes_ago in changes:
            self.wait(1)
            now = self.history.timeline.now()
            ref, at = self.history.people[person], now - timedelta(minutes=minutes_ago)
            change = Change(kind, ref.object_type, ref.salesforce_id, at, key=f"event {self.queued}")
            self.history.ledger.enqueue([change, change], now)
            self.queued += 1

    @rule()
    def run(self) -> None:
        self._run(lambda worker, call, before: 0.0)

    @rule(fate=st.integers(0, 10**6))
    def run_into_trouble(self, fate: int) -> None:
        self.history.luck.on, self.history.luck.rate = True, 0.5
        self.history.luck.random = Random(fate)
        self._run(lambda worker, call, before: 0.0)
        self.history.luck.on = False

    @rule(fatal=st.sampled_from(["claim", "look", "journal", "write", "record", "find_notes"]), before=st.booleans())
    def run_and_die(self, fatal: str, before: bool) -> None:
        def dies(worker: Worker, call: str, is_before: bool) -> float:
            if (call, is_before) == (fatal, before):
                raise Killed
            return 0.0

        self._run(dies)

    def _run(self, disturb: Disturb) -> None:
        worker = Worker("w", self.history.timeline, lambda worker: None, disturb)
        worker.alive = True
        with suppress(OrganisationUnavailable, Killed):
            self.history.delivery(worker).run()

    @rule(seconds=st.sampled_from([1, 60, 200, 900, 4000, 40_000]))
    def wait(self, seconds: int) -> None:
        """Leases end, what is under way arrives."""
        self.history.timeline.run(self.history.timeline.seconds + seconds)

    @rule(person=PEOPLE, opted_out=st.booleans())
    def edit(self, person: int, opted_out: bool) -> None:
        self.history.organisation.edit(self.id_of(person), opted_out=opted_out)

    @rule(person=PEOPLE, to=PEOPLE, take_flag=st.booleans())
    def merge_or_convert(self, person: int, to: int, take_flag: bool) -> None:
        source, target = self.history.people[person], self.history.people[to]
        if ObjectType.CONTACT is target.object_type or source.object_type is target.object_type:
            self.history.organisation.move(source.salesforce_id, target.salesforce_id, take_flag=take_flag)

    @rule(person=PEOPLE)
    def delete_or_undelete(self, person: int) -> None:
        organisation, id_ = self.history.organisation, self.id_of(person)
        (organisation.undelete if organisation.records[id_].deleted else organisation.delete)(id_)

    @rule()
    def retry(self) -> None:
        self.history.ledger.retry(statuses=[Status.FAILED, Status.WAITING])

    @rule()
    def question_everybody(self) -> None:
        now = self.history.timeline.now()
        self.history.ledger.question(now - timedelta(days=30), now)

    @invariant()
    def no_event_disappears_and_statuses_move_along_the_arrows(self) -> None:
        rows = self.history.ledger.tables.rows
        assert len(rows) == self.queued
        for id_, before in self.statuses.items():
            assert reachable(before, rows[id_].status)
        self.statuses = {id_: row.status for id_, row in rows.items()}

    @invariant()
    def no_event_has_two_notes_and_what_is_written_names_one(self) -> None:
        organisation, rows = self.history.organisation, self.history.ledger.tables.rows.values()
        assert notes_too_many(self.history, rows) == Counter()
        assert all(row.note_id in organisation.by_id for row in rows if row.status is Status.WRITTEN)

    @invariant()
    def every_call_was_allowed_when_it_was_made(self) -> None:
        assert self.history.witness.violations == []

    def teardown(self) -> None:
        if hasattr(self, "history"):
            self.history.timeline.run()
            self.history.come_to_rest()
            assert list(troubles_of(self.history, reconciled=False)) == []
            self.history.reconcile()
            assert list(troubles_of(self.history, reconciled=True)) == []


def reachable(before: Status, after: Status) -> bool:
    """Within one run a writeback may take several arrows."""
    found = {before}
    while new := {status for each in found for status in TRANSITIONS[each]} - found:
        found |= new
    return after in found


TestAnyDelivery = AnyDelivery.TestCase
TestAnyDelivery.settings = settings(
    max_examples=3000 if os.environ.get("TORTURE") else 300,
    stateful_step_count=50,
    deadline=None,
    derandomize=not os.environ.get("TORTURE"),
    suppress_health_check=list(HealthCheck),
)
