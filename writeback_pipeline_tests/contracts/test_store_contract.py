"""What every store promises about the queue, the Writeback List, the settings and the organisation's id."""

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from writeback_pipeline.domain.budget import Caller, Purpose
from writeback_pipeline.domain.keys import KeysTaken
from writeback_pipeline.domain.ledger import EnqueueResult, SettingsMoved, WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.settings import InvalidSetting, WritebackSettings
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store.queue import UnknownWriteback
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    NOW,
    answered,
    claim_one,
    contact,
    everything,
    intent,
    journalled,
    lead,
    resubscribe,
    settled,
    statuses,
    unsubscribe,
    written,
)


def test_an_empty_store_reads_as_empty(store: Store) -> None:
    assert everything(store) == []
    assert store.count(WritebackFilter()) == 0
    assert store.due(NOW) == 0
    assert (store.depth().by_status, store.depth().oldest_created_at) == ({}, None)
    assert store.claim("worker", NOW, limit=10) == []
    assert store.preview(NOW, limit=10) == []


def test_a_queued_change_is_listed_as_it_came(store: Store) -> None:
    occurred_at = datetime(2026, 11, 1, 5, 30, 15, 123456, tzinfo=timezone(timedelta(hours=-5)))
    person = lead(7)
    store.enqueue([unsubscribe(person, occurred_at, reason="Bad Email", subscriber_id="s-7", email="a@b.org")], NOW)
    (row,) = everything(store)
    assert (row.kind, row.object_type, row.salesforce_id) == (Kind.UNSUBSCRIBE, ObjectType.LEAD, person.salesforce_id)
    assert (row.reason, row.subscriber_id, row.email) == ("Bad Email", "s-7", "a@b.org")
    assert row.occurred_at == occurred_at
    assert row.occurred_at.tzinfo is UTC
    assert (row.status, row.attempts, row.created_at, row.written_at) == (Status.PENDING, 0, NOW, None)


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)])
def test_absurd_event_times_are_kept(store: Store, at: datetime) -> None:
    store.enqueue([unsubscribe(contact(1), at)], NOW)
    assert everything(store)[0].occurred_at == at


@pytest.mark.parametrize(
    "reason", ["Ünïcode 🎉 עברית \u202e", "'; DROP TABLE writebacks; --", "$1 ? % {0}", "é" * 20_000]
)
def test_odd_and_long_texts_come_back_unchanged(store: Store, reason: str) -> None:
    store.enqueue([unsubscribe(contact(1), reason=reason, email=reason)], NOW)
    assert (everything(store)[0].reason, everything(store)[0].email) == (reason, reason)


def test_enqueuing_the_same_changes_twice_is_one_row_each(store: Store) -> None:
    changes = [unsubscribe(contact(n)) for n in range(3)]
    assert store.enqueue(changes, NOW) == EnqueueResult(added=3, known=0)
    assert store.enqueue([*changes, unsubscribe(contact(9))], NOW) == EnqueueResult(added=1, known=3)
    assert store.count(WritebackFilter()) == 4


def test_a_key_that_comes_twice_in_one_call_is_queued_once_as_it_came_first(store: Store) -> None:
    first, second = unsubscribe(contact(1), key="k", reason="first"), unsubscribe(contact(1), key="k", reason="second")
    assert store.enqueue([first, second], NOW) == EnqueueResult(added=1, known=1)
    assert [row.reason for row in everything(store)] == ["first"]


@pytest.mark.parametrize(
    "other",
    [
        unsubscribe(contact(2), key="k"),
        Change(Kind.RESUBSCRIBE, ObjectType.CONTACT, contact(1).salesforce_id, NOW, key="k"),
        Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, None, NOW, email="a@b.org", key="k"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_another_change_with_a_key_that_was_given_is_refused_and_nothing_queued(
    store: Store, other: Change, together: bool
) -> None:
    first, good = unsubscribe(contact(1), key="k"), unsubscribe(contact(3), key="another")
    if not together:
        store.enqueue([first], NOW)
    with pytest.raises(KeysTaken) as refused:
        store.enqueue([first, good, other], NOW)
    assert list(refused.value.problems) == ["k"]
    assert store.count(WritebackFilter()) == (0 if together else 1)


def test_a_change_is_known_by_its_key_under_every_record_that_its_person_was(store: Store) -> None:
    became = [unsubscribe(each, key="k") for each in (lead(1), contact(1), contact(2))]
    store.enqueue(became[:1], NOW)
    store.redirect({lead(1).salesforce_id: contact(1)}, NOW)
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    assert store.enqueue(became, NOW) == EnqueueResult(added=0, known=3)


def test_ids_follow_the_order_of_arrival(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in range(500)], NOW)
    store.enqueue([unsubscribe(contact(1000), NOW - timedelta(days=9))], NOW)
    by_id = sorted(everything(store), key=lambda row: row.id)
    assert [row.occurred_at for row in by_id[:-1]] == [NOW - n * MINUTE for n in range(500)]
    assert by_id[-1].salesforce_id == contact(1000).salesforce_id


def test_enqueuing_is_all_or_nothing(store: Store) -> None:
    torn = unsubscribe(contact(2), reason="half a pair: \ud83d")
    with pytest.raises(Exception, match="surrogate"):
        store.enqueue([unsubscribe(contact(1)), torn], NOW)
    assert everything(store) == []
    assert store.claim("worker", NOW, limit=10) == []


def test_a_change_without_a_salesforce_record_is_settled_with_advice(store: Store) -> None:
    nobody = Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, None, NOW, email="nobody@example.org")
    store.enqueue([nobody, unsubscribe(contact(1))], NOW)
    assert store.due(NOW) == 2
    assert [claim.person for claim in store.preview(NOW, limit=10)] == [contact(1)]
    assert store.settle_without_recipient(NOW, "run-1") == 1
    assert store.settle_without_recipient(NOW, "run-2") == 0
    assert statuses(store) == [Status.NO_RECIPIENT, Status.PENDING]
    (row,) = store.writebacks(WritebackFilter(statuses=(Status.NO_RECIPIENT,)))
    assert row.run_id == "run-1"
    assert "no record in Salesforce" in (row.advice or "")


def test_depth_counts_by_status_and_knows_the_oldest_owed(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - 90 * MINUTE)], NOW - 60 * MINUTE)
    written(store, claim_one(store))
    store.enqueue([unsubscribe(contact(2), NOW - 50 * MINUTE)], NOW - 5 * MINUTE)
    store.enqueue([unsubscribe(contact(3), NOW - 55 * MINUTE)], NOW - 2 * MINUTE)
    depth = store.depth()
    assert depth.by_status == {Status.WRITTEN: 1, Status.PENDING: 2}
    assert depth.oldest_created_at == NOW - 5 * MINUTE
    assert depth.owed == 2


def test_the_list_is_newest_first_and_then_by_arrival(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n // 2 * MINUTE) for n in range(6)], NOW)
    expected = [contact(n).salesforce_id for n in (1, 0, 3, 2, 5, 4)]
    assert [row.salesforce_id for row in everything(store)] == expected
    assert [row.salesforce_id for row in store.writebacks(WritebackFilter(limit=3))] == expected[:3]


def test_the_list_is_filtered_by_status_kind_time_and_run(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - 3 * MINUTE)], NOW)
    claim = claim_one(store)
    journalled(store, [intent(claim, run_id="run-1")])
    store.enqueue([resubscribe(contact(2), NOW - 2 * MINUTE), unsubscribe(contact(3), NOW - MINUTE)], NOW)

    def shown(only: WritebackFilter) -> set[str | None]:
        found = store.writebacks(only)
        assert store.count(only) == len(found)
        return {row.salesforce_id for row in found}

    one, two, three = (contact(n).salesforce_id for n in (1, 2, 3))
    assert shown(WritebackFilter(statuses=(Status.SENDING,))) == {one}
    assert shown(WritebackFilter(statuses=(Status.PENDING, Status.SENDING))) == {one, two, three}
    assert shown(WritebackFilter(kinds=(Kind.RESUBSCRIBE,))) == {two}
    assert shown(WritebackFilter(kinds=(Kind.UNSUBSCRIBE,), statuses=(Status.PENDING,))) == {three}
    assert shown(WritebackFilter(since=NOW - 2 * MINUTE)) == {two, three}
    assert shown(WritebackFilter(until=NOW - 2 * MINUTE)) == {one}
    assert shown(WritebackFilter(run_id="run-1")) == {one}
    assert shown(WritebackFilter(run_id="run-2")) == set()


def test_a_limit_shortens_the_list_but_not_the_count(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(5)], NOW)
    assert len(store.writebacks(WritebackFilter(limit=2))) == 2
    assert store.count(WritebackFilter(limit=2)) == 5


@pytest.mark.parametrize(
    "text", [contact(77).salesforce_id, contact(77).salesforce_id[:15], "s-77", "ÄRA.Person@Example.org", " s-77 "]
)
def test_a_person_is_found_by_id_of_either_length_subscriber_or_e_mail(store: Store, text: str) -> None:
    wanted = unsubscribe(contact(77), subscriber_id="s-77", email="ära.person@example.org")
    store.enqueue([wanted, unsubscribe(contact(78), subscriber_id="s-78", email="other@example.org")], NOW)
    assert [row.subscriber_id for row in store.writebacks(WritebackFilter(person=text))] == ["s-77"]


def test_retry_puts_failed_and_waiting_rows_back_to_pending_and_starts_a_new_series(store: Store) -> None:
    for number, status in enumerate([Status.FAILED, Status.WAITING]):
        store.enqueue([unsubscribe(contact(number))], NOW)
        claim = claim_one(store)
        (attempt,) = journalled(store, [intent(claim)])
        store.record([answered(attempt)], [settled(claim, status)], [], NOW, release=True)
    assert store.due(NOW) == 0
    ids = sorted(row.id for row in everything(store))
    result = store.retry(ids=ids)
    assert (result.retried, result.refused) == (tuple(ids), {})
    for row in everything(store):
        assert (row.status, row.attempts, row.next_attempt_at, row.error_code) == (Status.PENDING, 0, None, None)
    assert store.due(NOW) == 2


def test_retry_by_status_takes_all_of_them(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(4)], NOW)
    claims = store.claim("worker", NOW, limit=3)
    store.record([], [settled(claim, Status.FAILED) for claim in claims], [], NOW, release=True)
    assert len(store.retry(statuses=[Status.FAILED]).retried) == 3
    assert statuses(store) == [Status.PENDING] * 4
    with pytest.raises(ValueError, match="only failed and waiting writebacks can be retried, not written"):
        store.retry(statuses=[Status.WRITTEN])


def test_retry_by_status_leaves_what_an_undo_took_back_until_it_is_named(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(4)], NOW)
    codes = ("UNDONE", "NOTE_UNDONE", "UNDO_INCOMPLETE", "NOT_FOUND")
    claims = store.claim("worker", NOW, limit=4)
    told = [settled(claim, Status.FAILED)._replace(error_code=code) for claim, code in zip(claims, codes, strict=True)]
    store.record([], told, [], NOW, release=True)
    *undone, refused = (claim.taken[0].id for claim in claims)
    result = store.retry(statuses=[Status.FAILED])
    assert (result.retried, result.refused, result.left_undone) == ((refused,), {}, 3)
    result = store.retry(ids=undone[:1], statuses=[Status.FAILED])
    assert (result.retried, result.left_undone) == ((undone[0],), 2)


def test_retry_refuses_the_others_each_with_a_sentence(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - MINUTE)], NOW)
    written(store, claim_one(store))
    store.enqueue([unsubscribe(contact(2))], NOW)
    done, pending = sorted(row.id for row in everything(store))
    result = store.retry(ids=[done, pending])
    assert result.retried == ()
    assert "would write it twice" in result.refused[done]
    assert "pending already" in result.refused[pending]
    assert statuses(store) == [Status.WRITTEN, Status.PENDING]


def test_retry_changes_nothing_when_an_id_is_nobodys(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2))], NOW)
    claims = store.claim("worker", NOW, limit=2)
    store.record([], [settled(claim, Status.FAILED) for claim in claims], [], NOW, release=True)
    before = everything(store)
    with pytest.raises(UnknownWriteback, match=r"no writeback has the id 12345, 12346: nothing was changed"):
        store.retry(ids=[before[0].id, 12346, 12345, 12346], statuses=[Status.FAILED])
    assert everything(store) == before


def test_settings_begin_with_their_defaults(store: Store) -> None:
    assert store.settings() == WritebackSettings()
    assert store.settings_history() == []


def test_a_changed_setting_is_kept_with_its_history(store: Store) -> None:
    changed = store.change_settings({"platform_name": "Müller & Söhne", "opened": "TRUE", "sent": "true"}, "ada", NOW)
    assert [(c.name, c.old, c.new) for c in changed] == [
        ("platform_name", "Informz", "Müller & Söhne"),
        ("opened", "false", "true"),
    ]
    store.change_settings({"opened": "false"}, "bob", NOW + MINUTE)
    assert (store.settings().platform_name, store.settings().opened) == ("Müller & Söhne", False)
    history = store.settings_history()
    assert history[:2] == changed
    assert (history[2].old, history[2].new, history[2].by, history[2].at) == ("true", "false", "bob", NOW + MINUTE)


@pytest.mark.parametrize("wrong", [{"occurrence": "yearly"}, {"unsubscribe_enabled": "false"}, {"colour": "red"}])
def test_settings_change_all_or_none(store: Store, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidSetting):
        store.change_settings({"sent": "false", **wrong}, "ada", NOW)
    assert store.settings() == WritebackSettings()
    assert store.settings_history() == []


def test_all_settings_that_are_wrong_are_told_at_once(store: Store) -> None:
    with pytest.raises(InvalidSetting, match=r"occurrence takes .* not 'yearly'; sent takes true or false, not 'no'"):
        store.change_settings({"occurrence": "yearly", "opened": "true", "sent": "no"}, "ada", NOW)
    assert store.settings_history() == []


def test_settings_that_somebody_else_changed_meanwhile_are_not_overwritten(store: Store) -> None:
    store.change_settings({"sent": "false"}, "ada", NOW, seen=0)
    with pytest.raises(SettingsMoved):
        store.change_settings({"frequency": "daily"}, "bob", NOW, seen=0)
    assert [change.by for change in store.settings_history()] == ["ada"]
    store.change_settings({"frequency": "daily"}, "bob", NOW, seen=1)
    assert store.settings().frequency == "daily"


def test_the_first_organisation_is_pinned_for_good(store: Store) -> None:
    assert store.pinned_organisation() is None
    assert store.pin_organisation("00D000000000001AAA") == "00D000000000001AAA"
    assert store.pin_organisation("00D000000000002AAA") == "00D000000000001AAA"
    assert store.pinned_organisation() == "00D000000000001AAA"


def test_salesforce_is_unproven_after_trouble(store: Store) -> None:
    assert not store.is_unproven()
    trouble = OrganisationUnavailable("HTTP_503", "down", "wait", passing=True)
    store.trip(Caller("worker", Purpose.OPT_OUTS, WritebackSettings()), trouble, NOW, random.Random(1))
    assert store.is_unproven()
