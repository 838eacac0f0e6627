"""What every store promises about the Writeback List: pages that nothing moves, honest numbers, retries as seen."""

from collections.abc import Sequence

import pytest

from writeback_pipeline.domain.ledger import Asked, AttemptOutcome, WritebackFilter
from writeback_pipeline.domain.listing import NEEDS_A_PERSON, WAITS, Position, version_of
from writeback_pipeline.domain.records import Answer
from writeback_pipeline.domain.story import Move
from writeback_pipeline.domain.undoing import UNDONE
from writeback_pipeline.domain.writebacks import Kind, Status, Writeback
from writeback_pipeline.store import paging
from writeback_pipeline.store.queue import CHANGED, UnknownWriteback
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    NOW,
    claim_one,
    contact,
    everything,
    intent,
    journalled,
    lead,
    resubscribe,
    settled,
    unsubscribe,
    written,
)

pytestmark = pytest.mark.parametrize("store", ["duckdb", "postgresql"], indirect=True)  # the one in memory has no pages

ALL = WritebackFilter()


def queue(store: Store, minutes: Sequence[int]) -> None:
    """One unsubscribe a person, that many minutes ago, named by them."""
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE, key=str(n)) for n in minutes], NOW)


def keys(rows: Sequence[Writeback]) -> list[str]:
    return [row.delivery_key for row in rows]


def fail(store: Store, code: str, advice: str | None = None, status: Status = Status.FAILED) -> None:
    """Settle whatever is due with that error."""
    claims = store.claim("worker", NOW, limit=100)
    settlements = [
        settled(claim, status, row=row)._replace(error_code=code, error_message=f"{code}!", advice=advice)
        for claim in claims
        for row in claim.taken
    ]
    store.record([], settlements, [], NOW, release=True)


def test_what_became_of_rows_is_counted_by_status_and_flag_with_the_first_that_is_due(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2))], NOW)
    for claim in store.claim("worker", NOW, limit=2):
        store.record([], [settled(claim, Status.WAITING)], [], NOW, release=True)
    store.enqueue([unsubscribe(contact(3))], NOW - MINUTE)
    assert sorted(store.became(WritebackFilter(limit=1))) == [
        (Status.PENDING, None, 1, NOW - MINUTE),
        (Status.WAITING, None, 2, NOW + 10 * MINUTE),
    ]


def test_pages_forward_and_back_show_every_row_once(store: Store) -> None:
    queue(store, range(7))
    same_time = [unsubscribe(contact(n), NOW - 3 * MINUTE, key=f"same {n}") for n in range(50, 54)]
    store.enqueue(same_time, NOW)
    whole = keys(everything(store))
    forward, page = [], store.page(ALL, 3)[0]
    assert page.newer is None
    while True:
        forward.append(keys(page.rows))
        if page.older is None:
            break
        page = store.page(ALL, 3, older_than=page.older)[0]
    assert [key for rows in forward for key in rows] == whole
    assert [len(rows) for rows in forward] == [3, 3, 3, 2]
    back = []
    while page.newer is not None:
        page = store.page(ALL, 3, newer_than=page.newer)[0]
        back.append(keys(page.rows))
    assert back == forward[-2::-1]


def test_what_arrives_or_changes_meanwhile_moves_no_page(store: Store) -> None:
    queue(store, range(10, 20))
    first = store.page(ALL, 4)[0]
    assert first.older is not None
    queue(store, range(5))
    second = store.page(ALL, 4, older_than=first.older)[0]
    assert keys(second.rows) == ["14", "15", "16", "17"]
    assert second.newer is not None
    before = store.page(ALL, 4, newer_than=second.newer)[0]
    assert keys(before.rows) == keys(first.rows)
    assert before.newer is not None
    top = store.page(ALL, 4, newer_than=before.newer)[0]
    assert keys(top.rows) == ["1", "2", "3", "4"]


def test_a_page_newer_than_what_is_almost_the_newest_is_the_first_page(store: Store) -> None:
    queue(store, range(6))
    page = store.page(ALL, 4, newer_than=Position(NOW - 2 * MINUTE, 0))[0]
    assert (keys(page.rows), page.newer) == (["0", "1", "2", "3"], None)
    assert page.older is not None


def test_a_place_whose_row_is_gone_is_a_place_still(store: Store) -> None:
    queue(store, range(6))
    between = Position(NOW - 2.5 * MINUTE, 0)
    assert keys(store.page(ALL, 2, older_than=between)[0].rows) == ["3", "4"]
    assert keys(store.page(ALL, 2, newer_than=between)[0].rows) == ["1", "2"]


def test_an_empty_list_is_a_page_without_neighbours(store: Store) -> None:
    page, tally = store.page(ALL, 3)
    assert (page.rows, page.newer, page.older) == ((), None, None)
    assert (tally.total(ALL), tally.by_status(), tally.error_groups(NEEDS_A_PERSON)) == (0, {}, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ära", ["a"]),
        ("ÄRA.PERSON@", ["a"]),
        ("too many", ["a"]),
        ("100%", ["b"]),
        ("1_0", []),
        ("n!t", ["b"]),
        ("%", ["b"]),
        (contact(1).salesforce_id, ["a"]),
        (contact(1).salesforce_id[:15], ["a"]),
        (contact(1).salesforce_id[:14], []),
        (" s-1 ", ["a"]),
        ("b", ["b"]),
        ("2", ["b"]),
        ("99999999999999999999", []),
        ("²", []),
        ("\0", []),
        ("'; DROP TABLE writebacks; --", []),
    ],
)
def test_a_text_is_looked_for_in_words_and_ids(store: Store, text: str, found: list[str]) -> None:
    changes = [
        unsubscribe(contact(1), email="ära.person@x.example", reason="Too Many\ne-mails", subscriber_id="s-1", key="a"),
        unsubscribe(contact(2), reason="I am 100% not, n!t, interested", key="b"),
    ]
    store.enqueue(changes, NOW)
    only = WritebackFilter(text=text)
    page, tally = store.page(only, 5)
    assert keys(store.writebacks(only)) == keys(page.rows) == found
    assert tally.total(only) == len(found)


def test_a_text_of_many_rows_is_paged_and_counted_as_that_of_few(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(store, range(6))
    monkeypatch.setattr(paging, "FEW", 2)
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE, email="zoe@x.example") for n in range(10, 15)], NOW)
    only = WritebackFilter(text="ZOE")
    page, tally = store.page(only, 3)
    assert (len(page.rows), page.older is not None, tally.total(only)) == (3, True, 5)
    assert store.listed(WritebackFilter(ids=())) == []


def test_rows_are_found_by_object_error_and_number(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), key="a"), unsubscribe(lead(2), NOW - MINUTE, key="b")], NOW)
    fail(store, "NOT_FOUND")
    store.enqueue([unsubscribe(lead(3), NOW - 2 * MINUTE, key="c")], NOW)
    fail(store, "ENTITY_IS_LOCKED")
    lead_object = everything(store)[1].object_type
    assert keys(store.writebacks(WritebackFilter(object_types=(lead_object,)))) == ["b", "c"]
    assert keys(store.writebacks(WritebackFilter(error_codes=("NOT_FOUND", "x\0")))) == ["a", "b"]
    assert keys(store.writebacks(WritebackFilter(without_codes=("NOT_FOUND", "x\0")))) == ["c"]
    assert keys(store.writebacks(WritebackFilter(text="is_locked"))) == ["c"]
    a, _, c = [row.id for row in everything(store)]
    assert keys(store.writebacks(WritebackFilter(ids=(c, a, 77)))) == ["a", "c"]
    assert store.listed(WritebackFilter(error_codes=("NOT_FOUND",))) == [row.id for row in everything(store)[:2]]
    assert store.listed(WritebackFilter(text="nothing")) == []


def test_errors_are_grouped_with_the_advice_of_the_newest(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in range(3)], NOW)
    fail(store, "LOCKED", "First advice.")
    store.enqueue([resubscribe(contact(7), NOW - 9 * MINUTE)], NOW)
    fail(store, "LOCKED", "Newest advice.")
    store.enqueue([unsubscribe(contact(8), NOW - 5 * MINUTE)], NOW)
    fail(store, "GONE", "Other advice.")
    store.enqueue([unsubscribe(contact(9), NOW - 8 * MINUTE)], NOW)
    fail(store, "BUSY", status=Status.WAITING)
    only = WritebackFilter(statuses=(Status.FAILED,), error_codes=("LOCKED",))
    _, tally = store.page(only, 2)
    assert tally.total(only) == 4
    assert tally.by_status() == {Status.FAILED: 5, Status.WAITING: 1}
    locked, gone = tally.error_groups(NEEDS_A_PERSON)
    assert (locked.error_code, locked.count, locked.advice) == ("LOCKED", 4, "Newest advice.")
    assert (locked.kinds, locked.last_event_at) == ((Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE), NOW)
    assert (gone.error_code, gone.count, gone.advice) == ("GONE", 1, "Other advice.")
    (busy,) = tally.error_groups(WAITS)
    assert (busy.status, busy.error_code, busy.next_attempt_at) == (Status.WAITING, "BUSY", NOW + 10 * MINUTE)


def test_what_was_taken_back_on_purpose_is_a_group_of_its_own(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(2)], NOW)
    fail(store, UNDONE, "Undone by somebody.")
    store.enqueue([unsubscribe(contact(7))], NOW)
    fail(store, "GONE")
    _, tally = store.page(ALL, 5)
    assert tally.by_status() == {Status.FAILED: 3}
    assert [group.error_code for group in tally.error_groups(NEEDS_A_PERSON)] == ["GONE"]
    assert [(group.error_code, group.count) for group in tally.taken_back()] == [(UNDONE, 2)]


def test_rows_that_are_written_are_counted_with_their_errors_and_without(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    fail(store, "BY_THE_WAY", status=Status.WRITTEN)
    store.enqueue([unsubscribe(contact(2)), unsubscribe(lead(3))], NOW)
    for claim in store.claim("worker", NOW, limit=2):
        store.record([], [settled(claim)], [], NOW, release=True)
    store.enqueue([unsubscribe(contact(4))], NOW)
    _, tally = store.page(ALL, 5)
    assert tally.by_status() == {Status.WRITTEN: 3, Status.PENDING: 1}
    assert tally.total(WritebackFilter(error_codes=("BY_THE_WAY",))) == 1
    assert store.page(WritebackFilter(since=NOW - MINUTE), 5)[1].by_status() == tally.by_status()


def test_groups_keep_to_the_rest_of_the_filter(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(lead(2)), resubscribe(lead(3))], NOW)
    fail(store, "LOCKED")
    _, tally = store.page(WritebackFilter(kinds=(Kind.UNSUBSCRIBE,), text=lead(2).salesforce_id), 5)
    (group,) = tally.error_groups(NEEDS_A_PERSON)
    assert (group.count, tally.total(ALL)) == (1, 1)


def test_a_row_opens_to_its_attempts_answers_and_moves(store: Store) -> None:
    store.enqueue([unsubscribe(lead(1))], NOW)
    claim = claim_one(store)
    (attempt,) = journalled(store, [intent(claim)])
    answer = AttemptOutcome(attempt, Answer.REJECTED, NOW, "UNABLE_TO_LOCK_ROW", "locked")
    store.record([answer], [settled(claim, Status.WAITING)], [], NOW, release=True)
    store.redirect({lead(1).salesforce_id: contact(1)}, NOW + MINUTE)
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW + 2 * MINUTE)
    (row,) = everything(store)
    found = store.opened(row.id)
    assert found is not None
    assert found.writeback == row
    assert [each.outcome for each in found.attempts] == [answer]
    assert found.moves == (Move(lead(1), contact(1), NOW + MINUTE), Move(contact(1), contact(2), NOW + 2 * MINUTE))
    assert found.actions == ()
    assert store.opened(row.id + 1) is None


def test_a_retry_of_what_was_seen_leaves_alone_what_has_changed(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE, key=str(n)) for n in range(4)], NOW)
    fail(store, "NOT_FOUND")
    seen = {row.id: version_of(row) for row in everything(store)}
    same, again, delivered, owed = [row.id for row in everything(store)]
    store.retry(ids=[again])
    fail(store, "GONE")
    store.retry(ids=[delivered])
    written(store, claim_one(store))
    store.retry(ids=[owed])
    result = store.retry(seen=seen, asked=Asked("bert", NOW))
    assert result.retried == (same,)
    assert result.refused[again] == CHANGED
    assert "would write it twice" in result.refused[delivered]
    assert "pending already" in result.refused[owed]
    assert store.retry(seen=seen).retried == (), "a second click does nothing"
    found = store.opened(same)
    assert found is not None
    assert [action.asked.by for action in found.actions] == ["bert"]


def test_a_retry_of_what_was_seen_and_is_gone_changes_nothing(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    fail(store, "NOT_FOUND")
    (row,) = everything(store)
    with pytest.raises(UnknownWriteback):
        store.retry(seen={row.id: version_of(row), row.id + 1: "x"})
    assert everything(store) == [row]
