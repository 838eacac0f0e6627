"""The interpreter is set for many rows while a delivery goes on, and as it was once it has ended."""

import gc
import sys

import pytest

from writeback_pipeline.delivery.interpreter import for_many_rows


def set_to() -> tuple[tuple[int, int, int], float]:
    return gc.get_threshold(), sys.getswitchinterval()


@for_many_rows()
def ends_with(error: Exception | None) -> tuple[tuple[int, int, int], float]:
    if error is not None:
        raise error
    return set_to()


def test_it_collects_seldom_and_switches_soon_meanwhile() -> None:
    threshold, interval = set_to()
    (collects_after, *_), switches_after = ends_with(None)
    assert collects_after > threshold[0]
    assert switches_after < interval
    assert set_to() == (threshold, interval)


def test_it_is_as_it_was_after_trouble() -> None:
    before = set_to()
    with pytest.raises(KeyError):
        ends_with(KeyError())
    assert set_to() == before
