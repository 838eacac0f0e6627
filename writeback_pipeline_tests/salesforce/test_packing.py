from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.records import Operation, RowWrite
from writeback_pipeline.salesforce.graphs import Graphs
from writeback_pipeline.salesforce.key_records import Pair
from writeback_pipeline.salesforce.packing import Collection, Part, batches, pack, pack_calls

CONTACT = "003000000000001AAA"


def flag(sobject: str = "Contact") -> RowWrite:
    return RowWrite(Operation.SET_FLAG, sobject, {"HasOptedOutOfEmail": True}, record_id=CONTACT)


def note() -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": CONTACT, "Title": "t"})


def odd_note() -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": CONTACT, "Title": "t", "Body": "see @{part0.id}"})


def linked_note() -> RowWrite:
    fields = {"Title": "t", "Content": "PHA+dDwvcD4="}
    return RowWrite(Operation.CREATE_NOTE, "ContentNote", fields, linked_to=CONTACT)


def keyed_note() -> RowWrite:
    return note()._replace(record_key="k")


def odd_keyed_note() -> RowWrite:
    return odd_note()._replace(record_key="k")


def task(key_field: str = "Writeback_Key__c") -> RowWrite:
    return RowWrite(Operation.UPSERT_TASK, "Task", {"WhoId": CONTACT}, external_id=(key_field, "k"))


runs_of_rows = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from(["Contact", "Lead", *(f"Thing{number}__c" for number in range(14))]).map(flag),
            st.builds(note),
            st.builds(odd_note),
            st.builds(linked_note),
            st.builds(keyed_note),
            st.builds(odd_keyed_note),
            st.sampled_from(["Writeback_Key__c", "Other__c"]).map(task),
        ),
        st.integers(1, 120),
    ),
    max_size=30,
).map(lambda runs: [row for row, times in runs for _ in range(times)])


def collections_in(call: list[Part]) -> list[Collection]:
    return [part for part in call if isinstance(part, Collection)]


def is_odd(row: RowWrite) -> bool:
    return "@{" in str(row.fields)


def in_seventy_fives(count: int) -> list[int]:
    return [75] * (count // 75) + [count % 75] * (count % 75 > 0)


@given(runs_of_rows)
def test_every_row_travels_exactly_once(rows: list[RowWrite]) -> None:
    positions = [position for call in pack_calls(rows) for part in call for position in part.positions]
    assert sorted(positions) == list(range(len(rows)))


@given(runs_of_rows)
def test_no_limit_of_salesforce_is_passed(rows: list[RowWrite]) -> None:
    for call in pack_calls(rows):
        assert 1 <= len(call) <= 5
        for collection in collections_in(call):
            types = [rows[position].sobject for position in collection.positions]
            assert 1 <= len(types) <= 200
            assert len(list(groupby(types))) <= 10


@given(runs_of_rows)
def test_what_comes_first_is_sent_first(rows: list[RowWrite]) -> None:
    collections = pack(rows)
    firsts = [min(collection.positions) for collection in collections]
    assert firsts == sorted(firsts)
    kinds = {(each.method, each.path, each.alone) for each in collections}
    for kind in kinds:
        same = [each for each in collections if (each.method, each.path, each.alone) == kind]
        for earlier, later in pairwise(same):
            assert max(earlier.positions) < min(later.positions)
    for collection in collections:
        for _, run in groupby(collection.positions, key=lambda position: rows[position].sobject):
            ordered = list(run)
            assert ordered == sorted(ordered)


@given(runs_of_rows)
def test_a_text_with_a_reference_in_it_never_shares_a_call(rows: list[RowWrite]) -> None:
    calls = pack_calls(rows)
    odd = [
        [any("@{" in str(rows[p].fields) for p in each.positions) for each in collections_in(call)] for call in calls
    ]
    assert all(len(call) == 1 for call in odd if any(call))
    assert odd == sorted(odd, key=lambda call: (not call, any(call)))


@given(runs_of_rows)
def test_notes_with_their_links_come_late_and_share_calls_with_their_like_only(rows: list[RowWrite]) -> None:
    calls = [call for call in pack_calls(rows) if not isinstance(call[0], Pair)]
    graphs = [[isinstance(part, Graphs) for part in call] for call in calls]
    assert graphs == sorted(graphs, key=any)
    assert all(len(call) == 1 for call in graphs if any(call))
    linked = [position for call in calls for part in call if isinstance(part, Graphs) for position in part.positions]
    assert linked == [
        position for position, row in enumerate(rows) if row.linked_to or (row.record_key and not is_odd(row))
    ]
    assert [len(call[0].positions) for call in calls if isinstance(call[0], Graphs)] == in_seventy_fives(len(linked))


@given(runs_of_rows)
def test_a_note_with_a_key_that_no_graph_can_carry_costs_a_call_of_its_own(rows: list[RowWrite]) -> None:
    calls = pack_calls(rows)
    pairs = [call for call in calls if isinstance(call[0], Pair)]
    assert all(len(call) == 1 and len(call[0].positions) == 1 for call in pairs)
    assert [call[0].positions[0] for call in pairs] == [
        position for position, row in enumerate(rows) if row.record_key and is_odd(row)
    ]
    assert calls[len(calls) - len(pairs) :] == pairs


def test_a_full_call_of_notes_with_link_and_key_stays_below_the_limit_of_nodes() -> None:
    rows = [linked_note()._replace(record_key=f"k{number}") for number in range(75)]
    ((part,),) = pack_calls(rows)
    body = part.request(rows).body
    assert body is not None
    assert sum(len(each["compositeRequest"]) for each in body["graphs"]) == 225


def test_a_collection_is_sorted_into_few_runs_of_one_object() -> None:
    mixed = [flag("Contact"), flag("Lead")] * 100
    (collection,) = pack(mixed)
    assert [mixed[position].sobject for position in collection.positions] == ["Contact"] * 100 + ["Lead"] * 100
    assert [len(each.positions) for each in pack([flag(f"Thing{number}__c") for number in range(14)])] == [10, 4]


@given(runs_of_rows)
def test_each_batch_is_one_call_when_it_is_written_by_itself(rows: list[RowWrite]) -> None:
    groups = batches(rows)
    assert sorted(position for group in groups for position in group) == list(range(len(rows)))
    assert all(len(pack_calls([rows[position] for position in group])) == 1 for group in groups)


def test_a_thousand_rows_cost_one_call() -> None:
    assert len(batches([flag("Contact"), flag("Lead")] * 500)) == 1
    assert len(batches([flag()] * 400 + [note()] * 600)) == 1
    assert len(batches([flag()] * 1000 + [note()] * 1000)) == 2
    assert len(batches([flag()] * 1000 + [linked_note()] * 1000)) == 1 + 14
    assert batches([]) == []


@pytest.mark.parametrize("key_field", ["../Contact", "Key__c?x=1", "", "Schlüssel__c"])
def test_a_key_that_is_no_field_name_never_gets_into_an_address(key_field: str) -> None:
    with pytest.raises(ValueError, match="API names"):
        pack([task(key_field)])


def test_each_kind_of_write_has_its_own_request() -> None:
    rows = [flag(), note(), task()]
    requests = [collection.request(rows) for collection in pack(rows)]
    assert [(request.method, request.path) for request in requests] == [
        ("PATCH", "composite/sobjects"),
        ("POST", "composite/sobjects"),
        ("PATCH", "composite/sobjects/Task/Writeback_Key__c"),
    ]
    assert [request.body for request in requests] == [
        {
            "allOrNone": False,
            "records": [{"attributes": {"type": "Contact"}, "id": CONTACT, "HasOptedOutOfEmail": True}],
        },
        {"allOrNone": False, "records": [{"attributes": {"type": "Note"}, "ParentId": CONTACT, "Title": "t"}]},
        {
            "allOrNone": False,
            "records": [{"attributes": {"type": "Task"}, "Writeback_Key__c": "k", "WhoId": CONTACT}],
        },
    ]
