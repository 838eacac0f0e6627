"""Salesforce ids: two forms, one meaning, and no guess where they disagree."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.people import (
    InvalidSalesforceId,
    ObjectType,
    PersonRef,
    id_suffix,
    normalise_id,
    object_type_of,
    person_ref,
)

IDS_15 = st.text(string.ascii_letters + string.digits, min_size=15, max_size=15)


@pytest.mark.parametrize("id18", ["003dM00001wBXYDQA4", "0014S000007NxmlQAC", "0014S000007Nx5BQAS"])
def test_the_suffix_of_ids_seen_in_real_organisations_is_computed(id18: str) -> None:
    assert id_suffix(id18[:15]) == id18[15:]
    assert normalise_id(id18[:15]) == normalise_id(id18) == id18


@given(IDS_15)
def test_both_forms_of_an_id_are_the_same_person(id15: str) -> None:
    assert normalise_id(normalise_id(id15)) == normalise_id(f" {id15} ")


@given(IDS_15, st.integers(0, 14))
def test_a_changed_case_is_noticed_by_the_suffix(id15: str, position: int) -> None:
    swapped = id15[:position] + id15[position].swapcase() + id15[position + 1 :]
    if swapped != id15:
        with pytest.raises(InvalidSalesforceId, match="do not fit"):
            normalise_id(swapped + id_suffix(id15))


@given(st.text(max_size=24))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        assert len(normalise_id(text)) == 18
    except InvalidSalesforceId as error:
        assert "Salesforce id" in str(error)


@pytest.mark.parametrize(
    "text",
    ["", "003", "003dM00001wBXYD/..", "https://evil.example/x", "003dM00001wBXYDQA4 ' OR 1=1", "００3dM00001wBXYD"],
)
def test_texts_that_are_not_ids_are_refused(text: str) -> None:
    with pytest.raises(InvalidSalesforceId):
        normalise_id(text)


def test_the_id_of_another_kind_of_record_is_refused_by_name() -> None:
    with pytest.raises(InvalidSalesforceId, match="not the id of a Lead: those begin with 00Q"):
        person_ref(ObjectType.LEAD, "003dM00001wBXYD")
    assert person_ref(ObjectType.CONTACT, "003dM00001wBXYD") == PersonRef(ObjectType.CONTACT, "003dM00001wBXYDQA4")


def test_the_prefix_tells_contacts_and_leads_from_everything_else() -> None:
    assert object_type_of("00Q000000000001") is ObjectType.LEAD
    assert object_type_of("001000000000001") is None
