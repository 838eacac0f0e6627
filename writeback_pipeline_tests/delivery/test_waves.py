"""Waves under way at once never share a person or an Account, and trouble in one stops those not yet begun."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.delivery import opt_outs, waves
from writeback_pipeline.delivery.waves import Line, cut_into_waves, send_at_once
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Held, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until
from writeback_pipeline_tests.world import World

PEOPLE = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(0, 999)), max_size=60)


def no_account(_: object) -> str:
    return ""


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
        together.wait(timeout=PATIENCE_SECONDS)
        under_way.pop()

    send_at_once(iter([[[[number]] for number in range(6)]]), send, no_account, 3)
    assert max(most) == 3


def test_after_the_first_trouble_no_other_wave_is_begun_and_it_is_told_when_all_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    work_together = waves.work_together

    def begun(line: Line[int], threads: int) -> None:
        def send(wave: Sequence[int]) -> None:
            if wave == [0]:
                raise ConnectionError("no more")
            wait_until(lambda: line._stopped)
            sent.extend(wave)

        line._send = send
        work_together(line, threads)

    monkeypatch.setattr(waves, "work_together", begun)
    numbers = iter([[[[0]], [[1], [2]], *([[number]] for number in range(3, 50))]])
    with pytest.raises(ConnectionError, match="no more"):
        send_at_once(numbers, sent.extend, no_account, 2)
    assert sent in ([], [1])


@pytest.mark.parametrize("threads", [2, 4])
def test_the_next_portion_is_asked_for_while_waves_are_under_way(threads: int) -> None:
    together = threading.Barrier(2)
    sent: list[int] = []

    def portions() -> Iterator[list[list[list[int]]]]:
        yield [[[0]], [[1]]]
        together.wait(timeout=PATIENCE_SECONDS)
        yield [[[2]]]

    def send(wave: Sequence[int]) -> None:
        if wave == [0]:
            together.wait(timeout=PATIENCE_SECONDS)
        sent.extend(wave)

    send_at_once(portions(), send, no_account, threads)
    assert sorted(sent) == [0, 1, 2]


def test_with_one_thread_portions_follow_one_another() -> None:
    done: list[object] = []

    def portions() -> Iterator[list[list[list[int]]]]:
        yield [[[0]], [[1], [2]]]
        done.append("asked")
        yield [[[3]]]

    send_at_once(portions(), done.append, no_account, 1)
    assert done == [[0], [1], [2], "asked", [3]]


@pytest.mark.parametrize("threads", [2, 4])
def test_an_account_of_two_portions_is_not_in_two_waves_at_once(threads: int) -> None:
    under_way: list[str] = []
    sent: list[tuple[str, int]] = []
    second_asked = threading.Event()

    def portions() -> Iterator[list[list[list[tuple[str, int]]]]]:
        yield [[[("a", 0)], [("a", 1)]], [[("", 2)]]]
        second_asked.set()
        yield [[[("a", 3)]], [[("b", 4)]], [[("", 5)]]]

    def send(wave: Sequence[tuple[str, int]]) -> None:
        ((account, number),) = wave
        if number == 0:
            assert second_asked.wait(timeout=PATIENCE_SECONDS)
        if account:
            assert account not in under_way
            under_way.append(account)
        time.sleep(0.01)  # for the others to begin
        if account:
            under_way.remove(account)
        sent.append((account, number))

    send_at_once(portions(), send, lambda person: person[0], threads)
    assert [number for account, number in sent if account == "a"] == [0, 1, 3]
    assert len(sent) == 6


@pytest.mark.parametrize("threads", [2, 4])
def test_trouble_with_a_portion_keeps_no_wave_back_and_is_told_after_a_wave_s_own(threads: int) -> None:
    sent: list[tuple[int, ...]] = []

    def portions() -> Iterator[list[list[list[int]]]]:
        yield [[[number]] for number in range(20)]
        raise ConnectionError("the portion")

    def fail(wave: Sequence[int]) -> None:
        raise ConnectionError("the wave")

    with pytest.raises(ConnectionError, match="the portion"):
        send_at_once(portions(), lambda wave: sent.append(tuple(wave)), no_account, threads)
    assert sorted(sent) == [(number,) for number in range(20)]
    with pytest.raises(ConnectionError, match="the wave"):
        send_at_once(portions(), fail, no_account, threads)


def test_no_portion_is_asked_for_while_enough_waves_stand_in_line() -> None:
    asked: list[int] = []
    standing: list[int] = []

    def portions() -> Iterator[list[list[list[int]]]]:
        for number in range(3):
            asked.append(number)
            yield [[[number]] for _ in range(10)]

    def send(wave: Sequence[int]) -> None:
        standing.append(10 * len(asked) - len(standing))

    send_at_once(portions(), send, no_account, 2)
    assert len(standing) == 30
    assert max(standing) <= 10 + 2 + 2


@pytest.fixture
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opt_outs, "PEOPLE_PER_CLAIM", 2)
    monkeypatch.setattr(opt_outs, "cut_into_waves", partial(cut_into_waves, most=1))


@pytest.mark.usefixtures("two_at_a_time")
def test_the_next_people_are_looked_at_while_the_first_are_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)
    look, write, looks = SalesforceOrganisation.look, SalesforceOrganisation.write, iter(range(9))

    def second_look(self: SalesforceOrganisation, people: Sequence[PersonRef]) -> dict[str, Held]:
        if next(looks) == 1:
            together.wait(timeout=PATIENCE_SECONDS)
        return look(self, people)

    def first_write(self: SalesforceOrganisation, writes: Sequence[RowWrite]) -> list[RowResult]:
        monkeypatch.setattr(SalesforceOrganisation, "write", write)
        together.wait(timeout=PATIENCE_SECONDS)
        return write(self, writes)

    monkeypatch.setattr(SalesforceOrganisation, "look", second_look)
    monkeypatch.setattr(SalesforceOrganisation, "write", first_write)
    people = [world.contact() for _ in range(5)]
    world.unsubscribe_all(people)
    assert world.deliver().statuses == {Status.WRITTEN: 5}
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)


@pytest.mark.usefixtures("two_at_a_time")
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_no_more_people_are_served_than_were_asked_for(world: World, limit: int) -> None:
    people = [world.contact() for _ in range(5)]
    world.unsubscribe_all(people)
    assert world.deliver(limit=limit).statuses == {Status.WRITTEN: limit}
    assert sum(world.opted_out(person) for person in people) == limit
    assert not world.ledger.is_delivering(world.clock())


@pytest.mark.usefixtures("two_at_a_time")
def test_trouble_gives_those_back_who_were_made_ready_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, look, looks = threading.Event(), SalesforceOrganisation.look, iter(range(9))

    def second_look(self: SalesforceOrganisation, people: Sequence[PersonRef]) -> dict[str, Held]:
        held = look(self, people)
        if next(looks) == 1:
            looked.set()
        return held

    def no_write(self: SalesforceOrganisation, writes: Sequence[RowWrite]) -> list[RowResult]:
        assert looked.wait(timeout=PATIENCE_SECONDS)
        raise OrganisationUnavailable("NO_ANSWER", "gone", "wait", passing=True)

    with monkeypatch.context() as patch:
        patch.setattr(SalesforceOrganisation, "look", second_look)
        patch.setattr(SalesforceOrganisation, "write", no_write)
        people = [world.contact() for _ in range(5)]
        world.unsubscribe_all(people)
        with pytest.raises(OrganisationUnavailable):
            world.deliver()
    assert not world.ledger.is_delivering(world.clock())
    world.clock.advance(timedelta(hours=1))
    assert world.deliver().statuses == {Status.WRITTEN: 5}
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)


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
