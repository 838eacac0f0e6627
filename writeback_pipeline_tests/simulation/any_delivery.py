"""Whatever happens in whatever order, step by step: changes come, runs end well, badly or not at all, users interfere.

After every step what must always hold is checked, and at the end of every story what must hold at rest.
"""

import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import ClassVar

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from writeback_pipeline.delivery.activity import LeaseLost
from writeback_pipeline.delivery.undo import RunUndo
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.undoing import NotUndoable
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, TRANSITIONS, Change, Kind, Status
from writeback_pipeline_tests.simulation import stores
from writeback_pipeline_tests.simulation.engine import Disturb, Killed, Worker, on_the_clock
from writeback_pipeline_tests.simulation.history import History, Traits
from writeback_pipeline_tests.simulation.verdict import notes_too_many, troubles_of

PEOPLE = st.integers(0, 7)
CHANGES = st.tuples(PEOPLE, st.sampled_from([Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE]), st.integers(0, 60))

FATAL = (
    "claim", "look", "find_notes", "journal", "write", "record",
    "create_job", "enter_job", "upload_job", "move_job", "close_job", "job_results", "end_job", "settle_job",
)  # fmt: skip
"""Calls before or after which a worker may die."""

SETTINGS = (
    {"note_object": "ContentNote"},
    {"note_object": "Note"},
    {"bulk_threshold": "1"},
    {"bulk_threshold": "2"},
    {"bulk_threshold": "10000"},
    {"concurrent_calls": "1"},
    {"concurrent_calls": "4"},
)


def calm(worker: Worker, call: str, before: bool) -> float:
    return 0.0


class AnyDelivery(RuleBasedStateMachine):
    """One ledger of that kind, one organisation, a clock that only moves forward."""

    kind: ClassVar[stores.Kind]

    @initialize(
        key_records=st.booleans(),
        rows_per_call=st.sampled_from([1, 2, 1000]),
        people_per_wave=st.sampled_from([1, 1000]),
        bulk_threshold=st.sampled_from([1, 2, 10_000]),
    )
    def begin(self, key_records: bool, rows_per_call: int, people_per_wave: int, bulk_threshold: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        traits = Traits(
            True,
            True,
            True,
            key_records=key_records,
            rows_per_call=rows_per_call,
            people_per_wave=people_per_wave,
            bulk_threshold=bulk_threshold,
            content_notes=True,
        )
        self.history = History(0, forced=traits, ledger=self.kind.make(self.folder))
        kinds = [ObjectType.CONTACT, ObjectType.LEAD] * 4
        self.history.people = [self.history.organisation.person(kind) for kind in kinds]
        self.history.luck.on = False
        self.queued: list[Change] = []
        self.statuses: dict[str, Status] = {}
        self.backed_up = False

    def id_of(self, person: int) -> str:
        return self.history.people[person].salesforce_id

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=4))
    def enqueue(self, changes: list[tuple[int, Kind, int]]) -> None:
        for person, kind, minutes_ago in changes:
            self.wait(1)
            now = self.history.timeline.now()
            ref, at = self.history.people[person], now - timedelta(minutes=minutes_ago)
            change = Change(kind, ref.object_type, ref.salesforce_id, at, key=f"event {len(self.queued)}")
            self.history.ledger.enqueue([change, change], now)
            self.queued.append(change)

    @rule(person=PEOPLE)
    def mail(self, person: int) -> None:
        self.history.newsletter.goes_to(self.history.people[person])

    @rule(activity=st.booleans())
    def run(self, activity: bool) -> None:
        self._run(calm, activity=activity)

    @rule(fate=st.integers(0, 10**6), activity=st.booleans())
    def run_into_trouble(self, fate: int, activity: bool) -> None:
        self.history.luck.on, self.history.luck.rate = True, 0.5
        self.history.luck.random = Random(fate)
        self._run(calm, activity=activity)
        self.history.luck.on = False

    @rule(fatal=st.sampled_from(FATAL), before=st.booleans())
    def run_and_die(self, fatal: str, before: bool) -> None:
        def dies(worker: Worker, call: str, is_before: bool) -> float:
            if (call, is_before) == (fatal, before):
                raise Killed
            return 0.0

        self._run(dies)

    @rule()
    def run_while_salesforce_is_out(self) -> None:
        written = self.history.organisation.rows_written
        self.history.luck.out = True
        with suppress(OrganisationUnavailable):
            self.history.delivery(None).run()
        self.history.luck.out = False
        assert self.history.organisation.rows_written - written <= 1_000

    def _run(self, disturb: Disturb, *, activity: bool = False) -> None:
        def work(worker: Worker) -> None:
            with suppress(OrganisationUnavailable, LeaseLost):
                if activity:
                    self.history.write_activity(worker)
                else:
                    self.history.delivery(worker).run()

        worker = Worker("w", self.history.timeline, work, disturb, restart_after=None)
        with on_the_clock(self.history.traits.people_per_wave):
            worker.start()
            while not worker.ended:
                self.history.timeline.step()
        if worker.error is not None:
            raise worker.error

    @rule(seconds=st.sampled_from([1, 60, 200, 900, 4000, 40_000]))
    def wait(self, seconds: int) -> None:
        """Leases end, what is under way arrives."""
        self.history.timeline.pass_by(seconds)

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

    @rule(change=st.sampled_from(SETTINGS))
    def change_settings(self, change: dict[str, str]) -> None:
        self.history.ledger.change_settings(change, "somebody", self.history.timeline.now())

    @rule()
    def retry(self) -> None:
        rows = self.history.books.rows().values()
        self.history.ledger.retry(ids=[row.id for row in rows if row.status in (Status.FAILED, Status.WAITING)])

    @rule()
    def question_everybody(self) -> None:
        now = self.history.timeline.now()
        self.history.ledger.question(now - timedelta(days=30), now)

    @precondition(lambda self: self.kind.undoes and self.history.newest_run)
    @rule()
    def undo(self) -> None:
        """The last run; those whom a worker still holds are left. A backup from before that knows nothing of it, and
        takes its Notes for ones that a user deleted."""
        history = self.history
        self.backed_up, history.set_back = False, True
        undo = RunUndo(history.ledger, history.organisation, history.timeline.now, "somebody")  # type: ignore[arg-type]
        with suppress(NotUndoable):
            undo.run(history.newest_run)

    @precondition(lambda self: self.kind.backups)
    @rule()
    def back_up(self) -> None:
        self.history.ledger.back_up(self.folder / "backup")  # type: ignore[union-attr]
        self.backed_up = True

    @precondition(lambda self: self.backed_up)
    @rule()
    def restore(self) -> None:
        """The platform queues again what the backup does not know."""
        self.history.ledger.put_back(self.folder / "backup")  # type: ignore[union-attr]
        self.history.set_back = True
        self.statuses = {}
        self.history.ledger.enqueue(self.queued, self.history.timeline.now())

    @invariant()
    def no_event_disappears_and_statuses_move_along_the_arrows(self) -> None:
        now = {row.delivery_key: row.status for row in self.history.books.rows().values() if row.kind in OPT_OUT_KINDS}
        assert now.keys() == {change.delivery_key for change in self.queued}
        for key, before in self.statuses.items():
            assert reachable(before, now[key])
        self.statuses = now

    @invariant()
    def no_event_has_two_notes_and_what_is_written_names_one(self) -> None:
        organisation, rows = self.history.organisation, self.history.books.rows().values()
        opt_outs = [row for row in rows if row.kind in OPT_OUT_KINDS]
        assert notes_too_many(self.history, opt_outs) == Counter()
        assert all(row.note_id in organisation.by_id for row in opt_outs if row.status is Status.WRITTEN)

    @invariant()
    def every_call_was_allowed_when_it_was_made(self) -> None:
        assert not (found := self.history.witness.violations), found

    def teardown(self) -> None:
        if not hasattr(self, "history"):
            return
        try:
            with on_the_clock(self.history.traits.people_per_wave):
                self.history.timeline.run()
                self.history.come_to_rest()
            assert not (found := list(troubles_of(self.history, reconciled=False))), found
            self.history.reconcile()
            assert not (found := list(troubles_of(self.history, reconciled=True))), found
        finally:
            self.kind.close(self.history.ledger)
            shutil.rmtree(self.folder)


def reachable(before: Status, after: Status) -> bool:
    """Within one run a writeback may take several arrows."""
    found = {before}
    while new := {status for each in found for status in TRANSITIONS[each]} - found:
        found |= new
    return after in found
