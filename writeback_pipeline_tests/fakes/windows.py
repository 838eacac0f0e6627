"""Windows of activity in the ledger in memory, and their summaries: the same promises as the store's statements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.domain.ledger import LEASE, QUIET
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.window_ledger import (
    DeliveredWindow,
    KnownSummary,
    OwedSummary,
    WindowAccount,
    WindowCounts,
    WindowLease,
    scope_of,
)
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, OPEN_STATUSES, Kind, Status, Writeback
from writeback_pipeline_tests.fakes import jobs
from writeback_pipeline_tests.fakes.tables import Person, Tables

_SETTLED = (Status.WRITTEN, Status.FAILED, Status.REFUSED)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A row of `activity_windows`."""

    kind: Kind
    window: Window
    fingerprint: str
    counts: WindowCounts
    at: datetime


def lease(tables: Tables, scope: str, owner: str, now: datetime) -> tuple[WindowLease, dict[str, KnownSummary]] | None:
    """Lease the window with what is known of it; None while another worker, or a Bulk job, has it."""
    jobs.settle_left(tables, now)
    if scope in tables.people_in_jobs():
        return None
    person = tables.people.setdefault(scope, Person(None))
    if not person.is_free(now):
        return None
    person.lease_owner, person.lease_until = owner, now + LEASE
    person.epoch += 1
    for id_ in tables.rows_of[scope]:
        row = tables.rows[id_]
        deadlines = [each.intent.send_deadline for each in tables.attempts_of[id_]]
        if row.status is Status.SENDING and deadlines:
            row = row._replace(status=Status.UNKNOWN, next_attempt_at=max(deadlines) + QUIET, advice="It is in doubt.")
        if row.status is Status.UNKNOWN and row.next_attempt_at and row.next_attempt_at <= now:
            row = row._replace(status=Status.WAITING, next_attempt_at=None)
        tables.put(row)
    return WindowLease(scope, person.epoch, now + LEASE), known(tables, scope)


def extend(tables: Tables, held: WindowLease, owner: str, now: datetime) -> WindowLease | None:
    """The same lease, fresh; None when it has passed to another worker."""
    person = tables.people[held.scope]
    if person.epoch != held.epoch or person.lease_owner != owner:
        return None
    person.lease_until = now + LEASE
    return WindowLease(held.scope, held.epoch, now + LEASE)


def release(tables: Tables, held: WindowLease) -> bool:
    """Give the lease back; False when it had passed to another worker."""
    if not tables.is_current(held.scope, held.epoch):
        return False
    tables.people[held.scope].give_back()
    return True


def known(tables: Tables, scope: str) -> dict[str, KnownSummary]:
    """What the ledger has of the window, by key."""
    rows = [tables.rows[id_] for id_ in tables.rows_of[scope]]
    return {
        row.delivery_key: KnownSummary(
            row.id,
            row.status,
            tables.revisions.get(row.id),
            row.task_id,
            PersonRef(row.object_type, row.salesforce_id) if row.salesforce_id else None,
            row.attempts,
            row.status is Status.FAILED and row.error_code == "UNDONE",
        )
        for row in rows
    }


def owe(
    tables: Tables, held: WindowLease, window: Window, owed: Sequence[OwedSummary], now: datetime, run_id: str | None
) -> dict[str, int]:
    """Enter new summaries, put known ones that changed back to pending; nothing when the lease has passed."""
    if not tables.is_current(held.scope, held.epoch):
        return {}
    ids = {tables.rows[id_].delivery_key: id_ for id_ in tables.rows_of[held.scope]}
    for each in owed:
        if each.key in ids:
            tables.put(_put_back(tables.rows[ids[each.key]], each, window))
        else:
            row = _row(len(tables.rows) + 1, each, window, now, run_id)
            ids[each.key] = row.id
            tables.insert(row, held.scope)
    return {each.key: ids[each.key] for each in owed}


def drop(tables: Tables, held: WindowLease, keys: Sequence[str], run_id: str | None) -> None:
    """Settle rows that never became a Task and whose events are no longer reported."""
    if tables.is_current(held.scope, held.epoch):
        for id_ in tables.rows_of[held.scope]:
            row = tables.rows[id_]
            if row.delivery_key in keys and row.status in (Status.PENDING, Status.WAITING, Status.FAILED):
                tables.put(
                    row._replace(
                        status=Status.REFUSED,
                        advice="It never happened.",
                        error_code=None,
                        error_message=None,
                        next_attempt_at=None,
                        run_id=run_id or row.run_id,
                    )
                )


def _put_back(row: Writeback, owed: OwedSummary, window: Window) -> Writeback:
    return row._replace(
        status=Status.PENDING,
        occurred_at=owed.occurred_at,
        window_start=window.start,
        window_end=window.end,
        attempts=0 if row.status in _SETTLED else row.attempts,
        next_attempt_at=None,
        error_code=None,
        error_message=None,
        advice=None,
    )


def _row(id_: int, owed: OwedSummary, window: Window, now: datetime, run_id: str | None) -> Writeback:
    person = owed.person
    return Writeback(
        id=id_,
        kind=owed.kind,
        object_type=person.object_type if person else ObjectType.CONTACT,
        salesforce_id=person.salesforce_id if person else None,
        subscriber_id=owed.subscriber_id,
        email=None,
        occurred_at=owed.occurred_at,
        reason=None,
        window_start=window.start,
        window_end=window.end,
        delivery_key=owed.key,
        status=Status.PENDING if person else Status.NO_RECIPIENT,
        flag_result=None,
        attempts=0,
        next_attempt_at=None,
        error_code=None,
        error_message=None,
        advice=None if person else "There is nobody to show it of.",
        note_id=None,
        task_id=None,
        redirected_from=None,
        run_id=run_id,
        created_at=now,
        written_at=None,
    )


def delivered(
    tables: Tables, kind: Kind, window: Window, fingerprint: str, counts: WindowCounts, now: datetime
) -> None:
    """Remember that the window was delivered as its files stood."""
    tables.windows[scope_of(kind, window)] = Remembered(kind, window, fingerprint, counts, now)


def remembered(tables: Tables, since: datetime, now: datetime) -> list[DeliveredWindow]:
    """The delivered windows that end after `since`, with what is owed of them now; oldest first."""
    return [
        DeliveredWindow(
            each.kind,
            each.window.occurrence,
            each.window.name,
            each.window.start,
            each.window.end,
            each.fingerprint,
            each.at,
            owed=sum(
                row.status in (Status.PENDING, Status.SENDING)
                or (
                    row.status in (Status.WAITING, Status.UNKNOWN)
                    and (row.next_attempt_at is None or row.next_attempt_at <= now)
                )
                for row in _rows(tables, scope)
            ),
        )
        for scope, each in _ending_after(tables, since)
    ]


def accounts(tables: Tables, since: datetime) -> list[WindowAccount]:
    """What was counted of the delivered windows that end after `since`, and what became of their rows."""
    return [_account(_rows(tables, scope), each) for scope, each in _ending_after(tables, since)]


def _account(rows: Sequence[Writeback], window: Remembered) -> WindowAccount:
    then = Counter(row.status for row in rows if row.created_at <= window.at)
    return WindowAccount(
        window.kind,
        window.window.occurrence,
        window.window.name,
        window.counts,
        written=then[Status.WRITTEN],
        failed=then[Status.FAILED],
        refused=then[Status.REFUSED],
        no_recipient=then[Status.NO_RECIPIENT],
        open=sum(then[status] for status in OPEN_STATUSES),
    )


def _ending_after(tables: Tables, since: datetime) -> list[tuple[str, Remembered]]:
    found = [(scope, each) for scope, each in tables.windows.items() if each.window.end > since]
    return sorted(found, key=lambda each: (each[1].window.start, each[1].kind))


def _rows(tables: Tables, scope: str) -> list[Writeback]:
    return [row for id_ in tables.rows_of[scope] if (row := tables.rows[id_]).kind in ACTIVITY_KINDS]
