"""What every store promises about mailing activity: one worker a window, a row a summary, windows remembered."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.ledger import LEASE, QUIET, AttemptOutcome, Intent, Settlement
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.window_ledger import (
    DeliveredWindow,
    OwedSummary,
    WindowAccount,
    WindowCounts,
    WindowLease,
    scope_of,
)
from writeback_pipeline.domain.windows import Calendar, Window, window_named
from writeback_pipeline.domain.writebacks import Kind, Status, Writeback
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import MINUTE, NOW, claim_one, contact, everything, lead, unsubscribe

UTC_DAYS = Calendar(Occurrence.DAILY, ZoneInfo("UTC"))
DAY = window_named("2026-11-20", UTC_DAYS)
NEXT_DAY = window_named("2026-11-21", UTC_DAYS)
SCOPE = scope_of(Kind.SENT, DAY)


def summary(person: PersonRef | None, at: datetime = DAY.start, window: Window = DAY) -> OwedSummary:
    who = person.salesforce_id if person else "subscriber:s-1"
    key = f"{scope_of(Kind.SENT, window)}:{who}"
    return OwedSummary(key, Kind.SENT, person, None if person else "s-1", at)


def leased(store: Store, now: datetime = NOW, owner: str = "worker", scope: str = SCOPE) -> WindowLease:
    found = store.lease_window(scope, owner, now)
    assert found is not None
    return found[0]


def owe(store: Store, lease: WindowLease, *owed: OwedSummary, window: Window = DAY) -> list[int]:
    ids = store.owe_summaries(lease, window, owed, NOW, "run")
    return [ids[each.key] for each in owed]


def sending(store: Store, lease: WindowLease, *ids: int) -> list[int | None]:
    """Journal an upsert of each, as if it went out at the last moment."""
    return store.journal(
        [
            Intent(
                lease.scope,
                lease.epoch,
                id_,
                Operation.UPSERT_TASK,
                target_id="003",
                batch_id="batch",
                lane="composite",
                call_number=1,
                intent_at=lease.lease_until - MINUTE,
                send_deadline=lease.lease_until,
                payload_hash="0" * 64,
            )
            for id_ in ids
        ]
    )


def settled(store: Store, lease: WindowLease, id_: int, status: Status = Status.WRITTEN, **more: object) -> int:
    """Send and settle one row; returns how many settlements were fenced off."""
    (attempt,) = sending(store, lease, id_)
    outcomes = [] if attempt is None else [AttemptOutcome(attempt, Answer.OK, NOW)]
    settlement = Settlement(id_, lease.scope, lease.epoch, status, attempted=True)._replace(**more)  # type: ignore[arg-type]
    return store.record(outcomes, [settlement], [], NOW, release=False)


def row(store: Store, id_: int) -> Writeback:
    (found,) = [each for each in everything(store) if each.id == id_]
    return found


def delivered(store: Store, now: datetime = NOW) -> list[DeliveredWindow]:
    return store.delivered_windows(NOW - timedelta(days=35), now)


def account(store: Store) -> WindowAccount:
    (found,) = store.window_accounts(NOW - timedelta(days=35))
    return found


def test_a_window_is_one_workers_until_its_lease_ends(store: Store) -> None:
    first = leased(store, owner="first")
    assert store.lease_window(SCOPE, "second", NOW + LEASE - timedelta(microseconds=1)) is None
    second = leased(store, NOW + LEASE, "second")
    assert second.epoch > first.epoch
    assert second.lease_until == NOW + 2 * LEASE


def test_the_two_kinds_of_a_window_do_not_wait_for_one_another(store: Store) -> None:
    leased(store)
    leased(store, scope=scope_of(Kind.OPENED, DAY))


def test_a_released_window_can_be_leased_at_once_and_only_its_worker_releases_it(store: Store) -> None:
    first = leased(store)
    store.release_window(first)
    leased(store, owner="second")
    store.release_window(first)
    assert store.lease_window(SCOPE, "third", NOW) is None


def test_a_lease_is_extended_only_by_the_worker_that_has_it(store: Store) -> None:
    first = leased(store, owner="first")
    extended = store.extend_window(first, "first", NOW + MINUTE)
    assert extended == replace(first, lease_until=NOW + MINUTE + LEASE)
    assert store.extend_window(first, "second", NOW) is None
    leased(store, NOW + MINUTE + LEASE, "second")
    assert store.extend_window(first, "first", NOW + MINUTE + LEASE) is None


def test_a_leased_window_is_no_person_to_deliver_opt_outs_to(store: Store) -> None:
    lease = leased(store)
    owe(store, lease, summary(contact(1)))
    store.release_window(lease)
    assert store.due(NOW) == 0
    assert store.claim("worker", NOW, limit=10) == []
    assert store.depth().owed == 0


def test_a_summary_becomes_a_row_of_the_writeback_list(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(lead(1), DAY.start + MINUTE))
    written = row(store, id_)
    assert (written.kind, written.status, written.run_id) == (Kind.SENT, Status.PENDING, "run")
    assert (written.salesforce_id, written.occurred_at) == (lead(1).salesforce_id, DAY.start + MINUTE)
    assert (written.window_start, written.window_end) == (DAY.start, DAY.end)
    assert written.delivery_key == f"{SCOPE}:{lead(1).salesforce_id}"


def test_a_subscriber_without_a_record_is_settled_at_once_with_the_reason(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(None))
    nobody = row(store, id_)
    assert (nobody.status, nobody.subscriber_id, nobody.salesforce_id) == (Status.NO_RECIPIENT, "s-1", None)
    assert nobody.advice
    assert nobody.run_id == "run"


def test_what_is_known_of_a_window_is_what_was_last_settled(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(lead(1)))
    settled(store, lease, id_, person=contact(1), task_id="00T1", revision="rev", written_at=NOW)
    other = leased(store, scope=scope_of(Kind.SENT, NEXT_DAY))
    owe(store, other, summary(contact(2), window=NEXT_DAY), window=NEXT_DAY)
    found = store.known_summaries(SCOPE)
    assert store.lease_window(SCOPE, "next", NOW + LEASE) == (
        replace(lease, epoch=2, lease_until=NOW + 2 * LEASE),
        found,
    )
    (known,) = found.values()
    assert (known.writeback_id, known.status, known.revision, known.task_id) == (id_, Status.WRITTEN, "rev", "00T1")
    assert (known.person, known.attempts) == (contact(1), 1)
    assert row(store, id_).redirected_from == lead(1).salesforce_id


def test_a_summary_that_changed_is_owed_again_as_the_same_row(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(contact(1)))
    settled(store, lease, id_, Status.FAILED, error_code="NO", error_message="no", advice="act", task_id="00T1")
    moved = window_named(DAY.name, Calendar(Occurrence.DAILY, ZoneInfo("America/New_York")))
    again = store.owe_summaries(lease, moved, [summary(contact(1), DAY.start + MINUTE)], NOW, "later run")
    owed = row(store, id_)
    assert list(again.values()) == [id_]
    assert (owed.status, owed.attempts, owed.error_code, owed.advice) == (Status.PENDING, 0, None, None)
    assert (owed.occurred_at, owed.task_id) == (DAY.start + MINUTE, "00T1")
    assert (owed.window_start, owed.window_end) == (moved.start, moved.end)


def test_what_waits_goes_on_with_its_series_of_attempts(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(contact(1)))
    settled(store, lease, id_, Status.WAITING, next_attempt_at=NOW + MINUTE)
    owe(store, lease, summary(contact(1)))
    assert (row(store, id_).status, row(store, id_).attempts) == (Status.PENDING, 1)


def test_a_worker_whose_window_was_taken_over_writes_nothing(store: Store) -> None:
    first = leased(store, owner="first")
    (id_,) = owe(store, first, summary(contact(1)))
    second = leased(store, NOW + LEASE, "second")
    assert store.owe_summaries(first, DAY, [summary(contact(2))], NOW, "run") == {}
    assert sending(store, first, id_) == [None]
    assert store.record([], [Settlement(id_, SCOPE, first.epoch, Status.FAILED)], [], NOW, release=False) == 1
    assert [each.id for each in everything(store)] == [id_]
    assert settled(store, second, id_) == 0


def test_what_a_dead_worker_sent_is_in_doubt_until_it_can_no_longer_arrive(store: Store) -> None:
    first = leased(store, owner="first")
    sent, unsent = owe(store, first, summary(contact(1)), summary(contact(2)))
    sending(store, first, sent)
    second = leased(store, NOW + LEASE, "second")
    assert (row(store, sent).status, row(store, sent).next_attempt_at) == (Status.UNKNOWN, first.lease_until + QUIET)
    assert row(store, sent).advice
    assert row(store, unsent).status is Status.PENDING
    store.release_window(second)
    store.release_window(leased(store, first.lease_until + QUIET - MINUTE, "third"))
    assert row(store, sent).status is Status.UNKNOWN
    leased(store, first.lease_until + QUIET, "fourth")
    assert row(store, sent).status is Status.WAITING


def test_a_row_that_got_no_answer_is_owed_again_after_its_quiet_time(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(contact(1)))
    settled(store, lease, id_, Status.UNKNOWN, next_attempt_at=NOW + 10 * MINUTE)
    store.release_window(lease)
    store.release_window(leased(store, NOW + 9 * MINUTE))
    assert row(store, id_).status is Status.UNKNOWN
    leased(store, NOW + 10 * MINUTE)
    assert row(store, id_).status is Status.WAITING


def test_recovering_opt_outs_leaves_activity_alone(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(contact(1)))
    sending(store, lease, id_)
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim_one(store, NOW + 2 * LEASE)
    assert row(store, id_).status is Status.SENDING


def test_a_delivered_window_is_remembered_with_what_became_of_its_rows(store: Store) -> None:
    lease = leased(store)
    ids = owe(store, lease, *(summary(contact(n)) for n in range(5)), summary(None))
    settled(store, lease, ids[0])
    settled(store, lease, ids[1], Status.FAILED)
    settled(store, lease, ids[2], Status.WAITING, next_attempt_at=NOW + MINUTE)
    settled(store, lease, ids[3], Status.UNKNOWN, next_attempt_at=NOW + 20 * MINUTE)
    store.window_delivered(lease, Kind.SENT, DAY, "print", WindowCounts(8, 8, 5, 1, 0), NOW, "run")
    assert delivered(store) == [DeliveredWindow(Kind.SENT, "daily", DAY.name, DAY.start, DAY.end, "print", NOW, owed=1)]
    counts = WindowCounts(8, 8, 5, 1, 0)
    assert account(store) == WindowAccount(
        Kind.SENT, "daily", DAY.name, counts, written=1, failed=1, refused=0, no_recipient=1, open=3
    )
    assert account(store).adds_up
    assert delivered(store, NOW + MINUTE)[0].owed == 2
    assert delivered(store, NOW + 20 * MINUTE)[0].owed == 3


def test_a_row_that_is_lost_does_not_add_up(store: Store) -> None:
    lease = leased(store)
    owe(store, lease, summary(contact(1)))
    store.window_delivered(lease, Kind.SENT, DAY, "print", WindowCounts(2, 2, 2, 0, 0), NOW, None)
    assert not account(store).adds_up


def test_a_row_too_many_does_not_add_up_unless_it_came_after_the_delivery(store: Store) -> None:
    lease = leased(store)
    owe(store, lease, summary(contact(1)), summary(contact(2)))
    store.window_delivered(lease, Kind.SENT, DAY, "print", WindowCounts(1, 1, 1, 0, 0), NOW, None)
    assert not account(store).adds_up
    store.window_delivered(leased(store), Kind.SENT, DAY, "print", WindowCounts(2, 2, 2, 0, 0), NOW, None)
    assert account(store).adds_up
    store.owe_summaries(leased(store), DAY, [summary(contact(3))], NOW + MINUTE, "one that died")
    assert (account(store).adds_up, account(store).open, delivered(store)[0].owed) == (True, 2, 3)


def test_an_event_that_is_in_no_row_does_not_add_up(store: Store) -> None:
    lease = leased(store)
    owe(store, lease, summary(contact(1)))
    store.window_delivered(lease, Kind.SENT, DAY, "print", WindowCounts(2, 1, 1, 0, 0), NOW, None)
    assert not account(store).adds_up


def remember(store: Store, window: Window, fingerprint: str, kind: Kind = Kind.SENT, at: datetime = NOW) -> None:
    lease = leased(store, scope=scope_of(kind, window))
    store.window_delivered(lease, kind, window, fingerprint, WindowCounts(), at, "run")


def test_delivering_a_window_again_replaces_what_is_remembered(store: Store) -> None:
    remember(store, DAY, "first")
    remember(store, DAY, "second", at=NOW + MINUTE)  # which also shows that its lease was given back
    remember(store, DAY, "other kind", Kind.OPENED)
    found = {each.kind: each for each in delivered(store)}
    assert (found[Kind.SENT].fingerprint, found[Kind.SENT].delivered_at) == ("second", NOW + MINUTE)
    assert found[Kind.OPENED].fingerprint == "other kind"


def test_only_the_worker_that_has_the_window_says_that_it_is_delivered(store: Store) -> None:
    first = leased(store, owner="first")
    leased(store, NOW + LEASE, "second")
    store.window_delivered(first, Kind.SENT, DAY, "print", WindowCounts(), NOW, "run")
    assert delivered(store) == []
    assert store.lease_window(SCOPE, "third", NOW + LEASE) is None


def test_windows_that_ended_before_are_left_out_and_the_others_come_oldest_first(store: Store) -> None:
    for window in (NEXT_DAY, DAY):
        remember(store, window, "print")
    assert [each.name for each in delivered(store)] == [DAY.name, NEXT_DAY.name]
    assert [each.name for each in store.delivered_windows(DAY.end, NOW)] == [NEXT_DAY.name]
    assert [each.name for each in store.window_accounts(NOW - timedelta(days=35))] == [DAY.name, NEXT_DAY.name]
    assert [each.name for each in store.window_accounts(DAY.end)] == [NEXT_DAY.name]
