"""Record ids: the checksum, the two forms, and that no two numbers share an id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.local_org import ids

letters = st.text("ABCXYZabcxyz019", min_size=15, max_size=15)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("001dM00003kS2nd", "001dM00003kS2ndQAC"),
        ("0034S000005YJVl", "0034S000005YJVlQAO"),
        ("0" * 15, "0" * 15 + "AAA"),
    ],
)
def test_the_short_form_grows_into_the_long_one(short: str, full: str) -> None:
    assert ids.normalise(short) == ids.normalise(full) == full


@given(letters)
def test_normalising_twice_changes_nothing(short: str) -> None:
    full = ids.normalise(short)
    assert full is not None
    assert ids.normalise(full) == full
    assert full[:15] == short


@pytest.mark.parametrize("text", ["", "001", "001dM00003kS2ndQAD", "001dM00003kS2n-", "001dM00003kS2ndQA", 7, None])
def test_what_is_no_id_is_refused(text: object) -> None:
    assert ids.normalise(text) is None


def test_an_id_in_small_letters_is_another_record() -> None:
    assert ids.normalise("001dm00003ks2nd") != ids.normalise("001dM00003kS2nd")


@given(st.integers(0, 62**9 - 1), st.integers(0, 62**9 - 1))
def test_every_number_has_an_id_of_its_own(one: int, other: int) -> None:
    made = ids.make("003", one)
    assert len(made) == 18
    assert ids.normalise(made) == made
    assert (made == ids.make("003", other)) == (one == other)
