"""Waves under way at once never share a person or an Account, and trouble in one stops those not yet begun."""

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from threading import Semaphore

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.delivery import opt_outs
from writeback_pipeline.delivery.waves import cut_into_waves, send_at_once
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.records import Answer, Operation, RowResult, RowWrite
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
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


def test_as_many_calls_are_under_way_at_once_as_the_setting_says_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opt_outs, "cut_into_waves", partial(cut_into_waves, most=5))
    world.ledger.change_settings({"concurrent_calls": "2"}, "somebody", world.clock())
    people = [world.contact() for _ in range(40)]
    world.unsubscribe_all(people)
    two, under_way, most = threading.Barrier(2), list[int](), list[int]()

    def write(self: SalesforceOrganisation, rows: Sequence[RowWrite]) -> list[RowResult]:
        under_way.append(1)
        most.append(len(under_way))
        two.wait(timeout=60)
        try:
            return written(self, rows)
        finally:
            under_way.pop()

    written = SalesforceOrganisation.write
    monkeypatch.setattr(SalesforceOrganisation, "write", write)
    assert world.deliver().statuses == {Status.WRITTEN: 40}
    assert (len(most), max(most)) == (8, 2)


def test_nobody_waits_for_a_call_with_anything_that_is_not_on_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[list[tuple[Operation, Answer | None]]] = []

    class NeverFree(Semaphore):
        def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
            if not blocking:
                return False
            (row,) = world.rows(person)
            attempts = world.ledger.attempts_of([row.id])
            known.append([(each.intent.operation, each.outcome and each.outcome.answer) for each in attempts])
            return super().acquire(blocking, timeout)

    monkeypatch.setattr(opt_outs, "Semaphore", NeverFree)
    world.ledger.change_settings({"note_object": "ContentNote"}, "somebody", world.clock())  # a call for the flags
    person = world.contact()
    world.unsubscribe(person)
    with world.guarded() as organisation:
        report = opt_outs.OptOutDelivery(world.ledger, organisation, world.clock).run()
    flag, note = Operation.SET_FLAG, Operation.CREATE_NOTE
    assert known == [[(flag, None), (note, None)], [(flag, Answer.OK), (note, None)]]
    assert report.statuses == {Status.WRITTEN: 1}
    assert report.usage.calls == 50_000 - world.ledger.calls_left(Purpose.OPT_OUTS, world.clock()) == 3


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
