"""One history, decided by its seed: who unsubscribes when, what users do in Salesforce, what goes wrong, and the rest.

Events arrive late, out of order, twice, and several at one instant. After an hour and a half nothing goes wrong any
more; then time passes, a person retries what failed, and delivery runs until it is at rest.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.ledger import QUIET, StoreBusy
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import OrganisationUnavailable, RowWrite
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, Change, Kind, Status
from writeback_pipeline_tests.fakes.ledger import MemoryLedger
from writeback_pipeline_tests.fakes.misfortunes import Execute, Misfortunes
from writeback_pipeline_tests.fakes.organisation import MemoryOrganisation
from writeback_pipeline_tests.simulation.engine import START, Killed, Timeline, Watched, Worker
from writeback_pipeline_tests.simulation.witness import Witness

Action = Callable[[], object]

EVENTS = 30
EVENTS_END, FAULTS_END = 3000.0, 6000.0
ROUNDS = 40


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


def traits(random: Random) -> Traits:
    """Half of all histories are left alone by Salesforce's users."""
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
    )


@dataclass
class History:
    """Everything of one history; `play` lets it happen."""

    seed: int
    forced: Traits | None = None
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    timeline: Timeline = field(default_factory=Timeline)
    met: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    idle_writes: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        chosen = traits(self.random)
        self.traits = self.forced or chosen
        self.luck = Misfortunes(self.random, self._later)
        self.organisation = MemoryOrganisation(self.luck, self.traits.rows_per_call)
        self.witness = Witness(self.ledger, self.organisation, self.timeline, self.traits.long_pauses)
        self.workers = [Worker(name, self.timeline, self._work, self._disturb) for name in ("a", "b")]
        self._closing = False
        self._runs = 0
        if self.traits.key_records:
            self.ledger.change_settings({"key_records": "true"}, "test", START)
        self.people = [self._person() for _ in range(self.random.randint(2, 6))]

    def _person(self) -> PersonRef:
        opted_out = self.traits.edits and self.random.random() < 0.2
        return self.organisation.person(self.random.choice(list(ObjectType)), opted_out=opted_out)

    def play(self) -> None:
        """Let everything happen, until nothing more will."""
        self._plan_events()
        self._plan_users()
        for worker in self.workers:
            self.timeline.after(self.random.uniform(0, 30), worker.start)
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
            plan(2, lambda: self._move(someone(), someone()))
        if self.traits.deletions:
            plan(2, lambda: self.organisation.delete(someone()))
            plan(2, lambda: self.organisation.undelete(someone()))
            plan(2, self._delete_a_note)

    def _move(self, id_: str, to: str) -> None:
        source, target = self.organisation.records[id_].ref, self.organisation.records[to].ref
        if source.object_type is target.object_type or target.object_type is ObjectType.CONTACT:
            self.organisation.move(id_, to, take_flag=self.random.random() < 0.5)

    def _delete_a_note(self) -> None:
        if self.organisation.by_id:
            self.random.choice(list(self.organisation.by_id.values())).deleted = True

    def _work(self, worker: Worker) -> None:
        while not self._closing:
            self._runs += 1
            try:
                self.delivery(worker).run(limit=self.traits.people_per_run)
            except (OrganisationUnavailable, StoreBusy) as error:
                self.met[f"run ended by {type(error).__name__}"] += 1
            worker.sleep(self.random.uniform(5, 90))

    def delivery(self, worker: Worker | None) -> OptOutDelivery:
        """A run of that worker; without one nothing disturbs it."""
        ledger, organisation = self.ledger, self.organisation
        return OptOutDelivery(
            ledger if worker is None else Watched(ledger, worker, self.witness),  # type: ignore[arg-type]
            organisation if worker is None else Watched(organisation, worker, self.witness),  # type: ignore[arg-type]
            self.timeline.now,
            run_id=f"run {self._runs}",
            jitter=self.random,
            owner=f"owner {self._runs}",
        )

    def _disturb(self, worker: Worker, call: str, before: bool) -> float:
        """How long a call takes; and once in a while the worker is stopped there, or killed, or the ledger is busy."""
        usual = 0.0 if before else self.random.uniform(0.01, 1.0)
        if call == "write" and not before and worker.unanswered:
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
        if chance < 0.012 and before and hasattr(self.ledger, call):
            self.met["ledger busy"] += 1
            raise StoreBusy
        return usual

    def _pause(self, worker: Worker, call: str, before: bool) -> float:
        """Up to half an hour. Between the last look at the clock and the sending only a key record helps against more
        than the quiet time, so without one the pause ends by then."""
        if call == "write" and before and not self.traits.long_pauses:
            return self.random.uniform(0, self._seconds_left(worker))
        return self.random.uniform(0, 2000)

    def _seconds_left(self, worker: Worker | None) -> float:
        """Until the last instant at which what the worker sends now may take effect."""
        assert worker is not None
        assert worker.send_by is not None
        return max(0.0, (worker.send_by + QUIET - self.timeline.now()).total_seconds() - 0.001)

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
            self.ledger.retry(statuses=[Status.FAILED])
            self.delivery(None).run()
            upcoming = self._next_due()
            if upcoming is None:
                break
            self.timeline.run(max((upcoming - START).total_seconds(), self.timeline.seconds + 1))
        before = self.organisation.rows_written
        self.delivery(None).run()
        self.idle_writes = self.organisation.rows_written - before

    def reconcile(self) -> None:
        """What the daily job does: look at everybody again, and repair."""
        self.timeline.run(self.timeline.seconds + 3600)
        self.ledger.question(START - timedelta(days=1), self.timeline.now())
        self.come_to_rest()

    def _next_due(self) -> datetime | None:
        """When anything more can be done for anybody; None when nobody is owed anything."""
        tables, now = self.ledger.tables, self.timeline.now()
        dates = []
        for id_, person in tables.people.items():
            rows = [tables.rows[each] for each in tables.rows_of[id_]]
            owed = [row.next_attempt_at or now for row in rows if row.status in (*OPEN_STATUSES, Status.FAILED)]
            if person.verify_after and person.moved_to is None:
                owed.append(person.verify_after)
            if owed or not person.is_free(now):
                dates.append(max(min(owed, default=now), person.lease_until or now))
        return min(dates, default=None)
