"""One history, decided by its seed: who unsubscribes when, what users do in Salesforce, what goes wrong, and the rest.

Events arrive late, out of order, twice, and several at one instant. After an hour and a half nothing goes wrong any
more; then time passes, a person retries what failed, and delivery runs until it is at rest.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from writeback_pipeline.delivery.activity import ActivityDelivery, LeaseLost
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.ledger import QUIET, StoreBusy
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import OrganisationUnavailable, RowWrite
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.fakes.ledger import MemoryLedger
from writeback_pipeline_tests.fakes.misfortunes import Execute, Misfortunes
from writeback_pipeline_tests.fakes.organisation import MemoryOrganisation
from writeback_pipeline_tests.simulation.books import books_of
from writeback_pipeline_tests.simulation.engine import (
    START,
    Killed,
    Strand,
    Timeline,
    Watched,
    Worker,
    on_the_clock,
    strand,
)
from writeback_pipeline_tests.simulation.newsletter import KIND, WINDOW, Newsletter
from writeback_pipeline_tests.simulation.witness import Witness

Action = Callable[[], object]

EVENTS = 30
EVENTS_END, FAULTS_END = 3000.0, 6000.0
ROUNDS = 60


@dataclass(frozen=True)
class Traits:
    """What kind of history it is."""

    edits: bool = False
    moves: bool = False
    deletions: bool = False
    key_records: bool = False
    long_pauses: bool = False
    rows_per_call: int = 1000
    people_per_run: int | None = None
    people_per_wave: int = 1000
    bulk_threshold: int = 10_000
    content_notes: bool = False
    activity: bool = False


def traits(random: Random) -> Traits:
    """Half of all histories are left alone by Salesforce's users, a third know Bulk jobs, a third mailing activity."""
    disturbed = random.random() < 0.5
    key_records = random.random() < 0.2
    return Traits(
        edits=disturbed and random.random() < 0.4,
        moves=disturbed and random.random() < 0.5,
        deletions=disturbed and random.random() < 0.4,
        key_records=key_records,
        long_pauses=key_records and random.random() < 0.5,
        rows_per_call=random.choice([1, 2, 5, 1000]),
        people_per_run=random.choice([None, None, 1, 3]),
        people_per_wave=random.choice([1, 2, 1000]),
        bulk_threshold=random.choice([1, 2, 10_000, 10_000]),
        content_notes=random.random() < 0.2,
        activity=random.random() < 0.3,
    )


@dataclass
class History:
    """Everything of one history; `play` lets it happen.

    Once it was `set_back`, by a backup or an undo, the ledger may not know which flags are ours, and refuse more.
    """

    seed: int
    forced: Traits | None = None
    ledger: MemoryLedger | Store = field(default_factory=MemoryLedger)
    timeline: Timeline = field(default_factory=Timeline)
    met: Counter[str] = field(default_factory=Counter)
    newsletter: Newsletter = field(default_factory=Newsletter)
    rounds: int = 0
    idle_writes: int = 0
    set_back: bool = False

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        chosen = traits(self.random)
        self.traits = self.forced or chosen
        self.books = books_of(self.ledger)
        self.luck = Misfortunes(self.random, self._later, self.timeline.after)
        self.organisation = MemoryOrganisation(self.luck, self.traits.rows_per_call)
        self.witness = Witness(self.books, self.organisation, self.timeline, self.traits.long_pauses)
        self.workers = [Worker(name, self.timeline, self._work, self._disturb) for name in ("a", "b")]
        self._closing = False
        self._runs = 0
        settings = {
            "key_records": str(self.traits.key_records).lower(),
            "bulk_threshold": str(self.traits.bulk_threshold),
            "note_object": "ContentNote" if self.traits.content_notes else "Note",
        }
        self.ledger.change_settings(settings, "test", START)
        self.people = [self._person() for _ in range(self.random.randint(2, 6))]

    def _person(self) -> PersonRef:
        opted_out = self.traits.edits and self.random.random() < 0.2
        account = self.random.choice([None, "001000000000001AAA"])
        return self.organisation.person(self.random.choice(list(ObjectType)), opted_out=opted_out, account_id=account)

    def play(self) -> None:
        """Let everything happen, until nothing more will."""
        self._plan_events()
        self._plan_users()
        for worker in self.workers:
            self.timeline.after(self.random.uniform(0, 30), worker.start)
        with on_the_clock(self.traits.people_per_wave):
            self.timeline.run(FAULTS_END)
            self.luck.on = False
            self._closing = True
            self.timeline.run()
            self.come_to_rest()

    def _plan_events(self) -> None:
        instants: list[float] = []
        for number in range(EVENTS):
            at = self.random.uniform(0, EVENTS_END)
            occurred = max(0.0, at - self.random.uniform(0, 900)) if self.random.random() < 0.3 else at
            if instants and self.random.random() < 0.15:
                occurred = self.random.choice(instants)
            instants.append(occurred)
            self.timeline.after(max(at, occurred), self._queue(self._change(number, occurred)))
            if self.traits.activity and self.random.random() < 0.5:
                person = self.random.choice(self.people)
                self.timeline.after(at, partial(self.newsletter.goes_to, person))

    def _change(self, number: int, occurred: float) -> Change:
        person = self.random.choice(self.people)
        kind = Kind.UNSUBSCRIBE if self.random.random() < 0.6 else Kind.RESUBSCRIBE
        reason = None if self.random.random() < 0.2 else f"reason {number}"
        at = START + timedelta(seconds=round(occurred, 3))
        return Change(kind, person.object_type, person.salesforce_id, at, reason=reason, key=f"event {number}")

    def _queue(self, change: Change) -> Action:
        again = self.random.random() < 0.1

        def action() -> None:
            self.ledger.enqueue([change, change] if again else [change], self.timeline.now())

        return action

    def _plan_users(self) -> None:
        def someone() -> str:
            return self.random.choice(self.people).salesforce_id

        def plan(number: int, action: Action) -> None:
            for _ in range(number):
                self.timeline.after(self.random.uniform(0, FAULTS_END), action)

        if self.traits.edits:
            plan(3, lambda: self.organisation.edit(someone(), opted_out=self.random.random() < 0.5))
        if self.traits.moves:
            plan(2, self._move_someone)
        if self.traits.deletions:
            plan(2, lambda: self.organisation.delete(someone()))
            plan(2, lambda: self.organisation.undelete(someone()))
            plan(10, self._delete_a_note)
            plan(2, self._delete_a_task)

    def _move_someone(self) -> None:
        self._move(self.random.choice(self.people).salesforce_id, self.random.choice(self.people).salesforce_id)

    def _move(self, id_: str, to: str) -> None:
        source, target = self.organisation.records[id_].ref, self.organisation.records[to].ref
        if source.object_type is target.object_type or target.object_type is ObjectType.CONTACT:
            self.organisation.move(id_, to, take_flag=self.random.random() < 0.5)

    def _delete_a_note(self) -> None:
        """Often the newest: of that delivery may not know yet that it was made."""
        if self.organisation.by_id:
            notes = list(self.organisation.by_id.values())
            (notes[-1] if self.random.random() < 0.7 else self.random.choice(notes)).deleted = True

    def _delete_a_task(self) -> None:
        if self.organisation.tasks:
            task = self.random.choice(list(self.organisation.tasks.values()))
            task.deleted = task.touched_by_users = True

    def _work(self, worker: Worker) -> None:
        while not self._closing:
            try:
                if self.traits.activity and self.random.random() < 0.3:
                    self.write_activity(worker)
                else:
                    self.delivery(worker).run(limit=self.traits.people_per_run)
            except (OrganisationUnavailable, StoreBusy, LeaseLost) as error:
                self.met[f"run ended by {type(error).__name__}"] += 1
            worker.sleep(self.random.uniform(5, 90))

    def delivery(self, worker: Worker | None) -> OptOutDelivery:
        """A run of that worker; without one nothing disturbs it."""
        self._runs += 1
        return OptOutDelivery(
            self._seen_by(worker, self.ledger),
            self._seen_by(worker, self.organisation),
            self.timeline.now,
            run_id=f"run {self._runs}",
            jitter=self.random,
            owner=f"owner {self._runs}",
            sleep=self.timeline.pass_by if worker is None else worker.sleep,
        )

    @property
    def newest_run(self) -> str:
        return f"run {self._runs}" if self._runs else ""

    def write_activity(self, worker: Worker | None) -> None:
        """A run that writes the Tasks of the newsletter."""
        self._runs += 1
        delivery = ActivityDelivery(
            self._seen_by(worker, self.ledger),
            self._seen_by(worker, self.organisation),
            self.timeline.now,
            run_id=f"run {self._runs}",
            jitter=self.random,
            owner=f"owner {self._runs}",
            sleep=self.timeline.pass_by if worker is None else worker.sleep,
        )
        delivery.run(KIND, WINDOW, self.newsletter.counted())

    def _seen_by(self, worker: Worker | None, target: Any) -> Any:
        return target if worker is None else Watched(target, worker, self.witness)

    def _disturb(self, worker: Worker, call: str, before: bool) -> float:
        """How long a call takes; and once in a while the worker is stopped there, or killed, or the ledger is busy, or
        somebody is merged or converted just then."""
        of_ledger = call in _OF_LEDGER
        usual = 0.0 if before or (of_ledger and self.random.random() < 0.7) else self.random.uniform(0.01, 1.0)
        if call == "write" and not before and strand().unanswered:
            usual = 60.0
        if not self.luck.on:
            return usual
        chance = self.random.random()
        if chance < 0.004:
            self.met["killed"] += 1
            raise Killed
        if chance < 0.008:
            self.met["stopped"] += 1
            return usual + self._pause(worker, call, before)
        if chance < 0.012 and before and of_ledger:
            self.met["ledger busy"] += 1
            raise StoreBusy
        if chance < 0.02 and self.traits.moves and call in ("find_notes", "look", "journal", "write", "upload_job"):
            self.met["moved in mid-run"] += 1
            self._move_someone()
        return usual

    def _pause(self, worker: Worker, call: str, before: bool) -> float:
        """Up to half an hour. Between the last look at the clock and the sending only a key record helps against more
        than the quiet time, so without one the pause ends by then."""
        if call == "write" and before and not self.traits.long_pauses:
            return self.random.uniform(0, self._seconds_left(strand()))
        return self.random.uniform(0, 2000)

    def _seconds_left(self, sender: Strand | None) -> float:
        """Until the last instant at which what that thread sends now may take effect."""
        assert sender is not None
        assert sender.send_by is not None
        return max(0.0, (sender.send_by + QUIET - self.timeline.now()).total_seconds() - 0.001)

    def _later(self, row: RowWrite, execute: Execute) -> None:
        def commit() -> None:
            self.witness.under_way(row, -1)
            execute(row)

        self.witness.under_way(row, 1)
        self.timeline.after(self.random.uniform(0, self._seconds_left(self.witness.sender)), commit)

    def come_to_rest(self) -> None:
        """Let a person retry what failed and delivery run, until nothing more is owed; then once more for nothing."""
        for person in self.people:
            self.organisation.undelete(person.salesforce_id)
        for self.rounds in range(1, ROUNDS + 1):
            failed = [row.id for row in self.books.rows().values() if row.status is Status.FAILED]
            self.ledger.retry(ids=failed)  # one by one, for what was undone is to be sent again as well
            self._run_undisturbed()
            upcoming = self.books.next_due(self.timeline.now())
            if upcoming is None:
                break
            self.timeline.run(max((upcoming - START).total_seconds(), self.timeline.seconds + 1))
        before = self.organisation.rows_written
        self._run_undisturbed()
        self.idle_writes = self.organisation.rows_written - before

    def _run_undisturbed(self) -> None:
        with suppress(OrganisationUnavailable):  # a job that still goes on
            self.delivery(None).run()
        if self.newsletter.sent:
            with suppress(OrganisationUnavailable):
                self.write_activity(None)

    def reconcile(self) -> None:
        """What the daily job does: look at everybody again, and repair."""
        self.timeline.run(self.timeline.seconds + 3600)
        self.ledger.question(START - timedelta(days=1), self.timeline.now())
        with on_the_clock(self.traits.people_per_wave):
            self.come_to_rest()


_OF_LEDGER = frozenset(name for name in dir(MemoryLedger) if not name.startswith("_"))
