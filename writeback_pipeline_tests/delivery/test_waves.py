"""Waves under way at once never share a person or an Account, and trouble in one stops those not yet begun."""

import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.delivery.waves import cut_into_waves, send_at_once
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.world import World

PEOPLE = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(0, 999)), max_size=60)


@given(PEOPLE, st.integers(1, 10))
def test_an_account_is_in_one_sequence_of_waves_only(people: list[tuple[str, int]], most: int) -> None:
    people.sort()
    sequences = cut_into_waves(people, lambda person: person[0], most)
    assert sorted(person for waves in sequences for wave in waves for person in wave) == people
    assert all(0 < len(wave) <= most for waves in sequences for wave in waves)
    accounts = [{account for wave in waves for account, _ in wave} - {""} for waves in sequences]
    assert all(count == 1 for count in Counter(each for theirs in accounts for each in theirs).values())


def test_waves_are_as_few_as_whole_accounts_allow() -> None:
    people = [("", number) for number in range(2_500)] + [("a", number) for number in range(300)]
    sizes = [[len(wave) for wave in waves] for waves in cut_into_waves(people, lambda person: person[0])]
    assert sizes == [[1_000], [1_000], [800]]


def test_so_many_are_under_way_at_once_and_no_more() -> None:
    together = threading.Barrier(3)
    under_way: list[int] = []
    most: list[int] = []

    def send(wave: Sequence[int]) -> None:
        under_way.append(1)
        most.append(len(under_way))
        together.wait(timeout=60)
        under_way.pop()

    send_at_once([[[number]] for number in range(6)], send, 3)
    assert max(most) == 3


def test_after_the_first_trouble_no_other_wave_is_begun_and_it_is_told_when_all_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    stopped = threading.Event()
    monkeypatch.setattr("writeback_pipeline.delivery.waves.Event", lambda: stopped)

    def send(wave: Sequence[int]) -> None:
        if wave == [0]:
            raise ConnectionError("no more")
        stopped.wait(timeout=60)
        sent.extend(wave)

    with pytest.raises(ConnectionError, match="no more"):
        send_at_once([[[0]], [[1], [2]], *([[number]] for number in range(3, 50))], send, 2)
    assert sent in ([], [1])


def test_waves_sent_at_once_write_everything_once(world: World) -> None:
    account = world.as_user(admin.create, "Account", {"Name": "Large"})
    people = [world.contact(AccountId=account) for _ in range(1_050)] + [world.contact() for _ in range(1_100)]
    world.unsubscribe_all(people)
    before = world.organisation.usage.calls
    report = world.deliver()
    assert report.statuses == {Status.WRITTEN: len(people)}
    assert (
        world.organisation.usage.calls - before == 1 + 2 * 2 + 2
    )  # two whole waves, and two whose flags and notes share a call
    [counted] = world.select("SELECT count(*) AS notes, count(DISTINCT ParentId) AS people FROM Note")
    assert (counted["notes"], counted["people"]) == (len(people), len(people))
    [flags] = world.select("SELECT count(*) AS n FROM Contact WHERE HasOptedOutOfEmail = 1")
    assert flags["n"] == len(people)
