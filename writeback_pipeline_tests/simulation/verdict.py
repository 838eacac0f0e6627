"""What a history is judged by once it is at rest: the truth in the organisation against what was queued."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from writeback_pipeline.domain.notes import note_timestamp
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Kind, Status, Writeback
from writeback_pipeline_tests.fakes.organisation import TaskRecord
from writeback_pipeline_tests.simulation.history import ROUNDS, History
from writeback_pipeline_tests.simulation.newsletter import key_of, text_of

_DONE = (Status.WRITTEN, Status.REFUSED)


@dataclass
class Verdict:
    """The troubles found, by kind, each in words; and what the history was made of.

    `mailings` are the events of activity, `polls` those of the `calls` that only asked how far a job was.
    """

    seed: int
    troubles: dict[str, list[str]] = field(default_factory=dict)
    events: int = 0
    mailings: int = 0
    calls: int = 0
    polls: int = 0
    jobs: int = 0
    met: Counter[str] = field(default_factory=Counter)

    @property
    def faulted_calls(self) -> int:
        return sum(number for kind, number in self.met.items() if not kind.startswith("run ended"))


def judge(history: History) -> Verdict:
    """Play the history, judge it, let the daily reconciliation run, and judge it again."""
    history.play()
    troubles: defaultdict[str, list[str]] = defaultdict(list)
    organisation = history.organisation
    calls, polls, jobs = organisation.calls, organisation.polls, len(organisation.job_server.jobs)
    for kind, trouble in troubles_of(history, reconciled=False):
        troubles[kind].append(trouble)
    if not troubles:
        history.reconcile()
        for kind, trouble in troubles_of(history, reconciled=True):
            troubles[kind].append(f"after reconciliation: {trouble}")
    events = sum(row.kind in OPT_OUT_KINDS for row in history.books.rows().values())
    mailings = sum(history.newsletter.sent.values())
    return Verdict(history.seed, dict(troubles), events, mailings, calls, polls, jobs, history.met + history.luck.met)


Trouble = tuple[str, str]


def troubles_of(history: History, *, reconciled: bool) -> Iterable[Trouble]:
    """What is wrong with a history at rest; once it was reconciled, nothing of what users did is excused any more."""
    everything = list(history.books.rows().values())
    rows = [row for row in everything if row.kind in OPT_OUT_KINDS]
    yield from _unfinished(history, everything)
    yield from _notes(history, rows)
    yield from _note_ids(history, rows)
    yield from _flags(history, reconciled=reconciled)
    yield from _tasks(history)
    yield from (("invariant", each) for each in history.witness.violations)
    if history.idle_writes:
        yield "idle writes", f"a delivery with nothing to do wrote {history.idle_writes} rows"


def _unfinished(history: History, rows: Iterable[Writeback]) -> Iterable[Trouble]:
    if history.rounds >= ROUNDS:
        yield "unfinished", f"not at rest after {ROUNDS} rounds"
    for row in rows:
        if row.status not in _DONE:
            yield "unfinished", f"writeback {row.id} is {row.status} {row.error_code}"
    if left := history.books.unanswered():
        yield "unfinished", f"attempts {left} have no outcome"


NoteKey = tuple[str, str, str]
"""Kind, second and reason of an event: no merge and no conversion changes those."""


def _notes(history: History, rows: Iterable[Writeback]) -> Iterable[Trouble]:
    """Every written event has exactly one Note."""
    written = [row for row in rows if row.status is Status.WRITTEN]
    for key, number in (_wanted(history, written) - _found(history)).items():
        yield "lost", f"{number} Notes for {key}"
    for key, number in notes_too_many(history, written).items():
        yield "duplicated", f"{number} Notes too many for {key}"


def notes_too_many(history: History, rows: Iterable[Writeback]) -> Counter[NoteKey]:
    """Notes that none of the rows accounts for."""
    return _found(history) - _wanted(history, rows)


def _wanted(history: History, rows: Iterable[Writeback]) -> Counter[NoteKey]:
    zone = history.ledger.settings().zone
    return Counter((f"{row.kind}d", note_timestamp(row.occurred_at, zone), row.reason or "") for row in rows)


def _found(history: History) -> Counter[NoteKey]:
    found: Counter[NoteKey] = Counter()
    for note in history.organisation.by_id.values():
        if note.undone:
            continue
        verb, _, when = note.title.split(" ", 1)[1].partition(" ")
        found[verb, when.rpartition(" on ")[2], note.body.partition("Reason: ")[2]] += 1
    return found


def _note_ids(history: History, rows: Iterable[Writeback]) -> Iterable[Trouble]:
    organisation, owners = history.organisation, history.books.owners()
    used: Counter[str] = Counter()
    for row in rows:
        if row.status is not Status.WRITTEN:
            continue
        note = organisation.by_id.get(row.note_id or "")
        if note is None:
            yield "wrong note id", f"writeback {row.id} names {row.note_id}, which is no Note"
            continue
        used[note.id] += 1
        if organisation.end_of(note.parent) != organisation.end_of(owners[row.id]):
            yield "wrong note id", f"the Note of writeback {row.id} hangs on somebody else"
        if (row.reason or "") != note.body.partition("Reason: ")[2]:
            yield "wrong note id", f"the Note of writeback {row.id} tells of another event: {note.body!r}"
    for note_id, number in used.items():
        if number > 1:
            yield "wrong note id", f"{number} writebacks name {note_id}"


def _flags(history: History, *, reconciled: bool) -> Iterable[Trouble]:
    organisation, books = history.organisation, history.books.rows()
    of: defaultdict[str, list[Writeback]] = defaultdict(list)
    for number, owner in history.books.owners().items():
        if books[number].kind in OPT_OUT_KINDS:
            of[organisation.end_of(owner)].append(books[number])
    for id_, rows in of.items():
        record = organisation.records[id_]
        counted = [row for row in in_order(rows) if row.status is not Status.REFUSED]
        wanted = bool(counted) and counted[-1].kind is Kind.UNSUBSCRIBE
        touched = any(organisation.records[each].touched_by_users for each in organisation.ancestors(id_))
        if wanted and not record.opted_out and (reconciled or not (touched or history.traits.long_pauses)):
            yield "stale", f"{id_} unsubscribed last, with writeback {counted[-1].id}, and is not opted out"
        if not wanted and record.opted_out and not touched and not history.traits.long_pauses and not history.set_back:
            yield "stale", f"{id_} is opted out, though writeback {counted[-1].id if counted else None} says otherwise"
        # Of a record in the recycle bin nobody sees whether our write to it came to pass: it counts as a user's then.
        if not touched and not record.was_deleted and not history.traits.long_pauses and not history.set_back:
            yield from _refusals(rows)


def _tasks(history: History) -> Iterable[Trouble]:
    """Everybody who was sent something has one Task, which says how often."""
    organisation = history.organisation
    of: defaultdict[str, list[TaskRecord]] = defaultdict(list)
    for task in organisation.tasks.values():
        of[task.key].append(task)
    for person, number in history.newsletter.sent.items():
        tasks = [task for task in of[key_of(person)] if not task.undone]
        live = [task for task in tasks if not task.deleted]
        touched = any(task.touched_by_users for task in tasks)
        if not tasks:
            yield "lost", f"no Task for {person.salesforce_id}"
        if len(live) > 1 or (len(tasks) > 1 and not touched):
            yield "duplicated", f"{len(tasks)} Tasks for {person.salesforce_id}"
        for task in live:
            # Only a unique key helps against a stop of more than the quiet time in mid-request; a revision has none.
            if task.text != text_of(person, number) and not {task.id, task.key} & history.witness.sent_too_late:
                yield "stale", f"the Task of {person.salesforce_id} does not tell {number} times"
            if organisation.end_of(task.who) != organisation.end_of(person.salesforce_id):
                yield "stale", f"the Task of {person.salesforce_id} hangs on somebody else"


def _refusals(rows: Iterable[Writeback]) -> Iterable[Trouble]:
    """A resubscribe may be refused only if no unsubscribe came right before it that was known by then."""
    before: Writeback | None = None
    for row in in_order(rows):
        if row.status is not Status.REFUSED:
            before = row
        elif before is not None and before.kind is Kind.UNSUBSCRIBE and before.created_at <= row.created_at:
            yield "wrongly refused", f"writeback {row.id} undoes writeback {before.id}: {row.error_code}"


def in_order(rows: Iterable[Writeback]) -> list[Writeback]:
    """By the time of the event; at one instant the unsubscribe is the last."""
    return sorted(rows, key=lambda row: (row.occurred_at, row.kind is Kind.UNSUBSCRIBE, row.id))
