"""What every store owes the alerts: an incident once, a notice once, whoever looks and however often."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.domain.alerts import RULES, Severity, Sighting
from writeback_pipeline.domain.budget import Caller, Purpose
from writeback_pipeline.domain.health import Heartbeat
from writeback_pipeline.domain.holds import Poll
from writeback_pipeline.domain.incidents import SENDING_TAKES, Incident, News, Notice
from writeback_pipeline.domain.records import ApiUsage, OrganisationUnavailable
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.conftest import STORES
from writeback_pipeline_tests.contracts.story import MINUTE, NOW, claim_one, contact, settled, unsubscribe

DAY = timedelta(days=1)
CALLER = Caller("tester", Purpose.OPT_OUTS, WritebackSettings())
EVERY_RULE = frozenset(RULES)


@pytest.fixture(params=[name for name in STORES if name != "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return STORES[request.param](tmp_path)


def sighting(severity: Severity = Severity.WARNING, words: str = "1 row failed") -> Sighting:
    return Sighting("rows_need_a_person", "rows_need_a_person", severity, words)


def see(store: Store, now: datetime, *seen: Sighting, judged: frozenset[str] = EVERY_RULE) -> None:
    store.enter_incidents(seen, judged, now)


def news(notices: Sequence[Notice]) -> list[tuple[str, News]]:
    return [(notice.channel, notice.news) for notice in notices]


def tell(store: Store, now: datetime, channels: Sequence[str] = ("mail",), trouble: str | None = None) -> list[News]:
    """What the channels are told, or fail to be told, by one look."""
    taken = store.take_notices(channels, DAY, now)
    if taken:
        store.record_notices(taken, trouble, now)
    return [notice.news for notice in taken]


def only(store: Store, now: datetime) -> Incident:
    (incident,) = store.incidents(now)
    return incident


def test_what_is_seen_again_and_again_is_one_incident_and_each_channel_is_told_once(store: Store) -> None:
    for minute in range(5):
        see(store, NOW + minute * MINUTE, sighting(words=f"{minute} rows failed"))
    incident = only(store, NOW + 5 * MINUTE)
    assert (incident.opened_at, incident.last_seen) == (NOW, NOW + 4 * MINUTE)
    assert incident.words == "4 rows failed"
    taken = store.take_notices(["mail", "webhook"], DAY, NOW)
    assert news(taken) == [("mail", News.OPENED), ("webhook", News.OPENED)]
    assert store.take_notices(["mail", "webhook"], DAY, NOW) == []
    store.record_notices(taken, None, NOW)
    assert store.take_notices(["mail", "webhook"], DAY, NOW + DAY - MINUTE) == []
    assert set(only(store, NOW).told) == {"mail", "webhook"}


def test_what_gets_worse_is_told_what_gets_better_is_not(store: Store) -> None:
    told = []
    for hour, severity in enumerate([Severity.WARNING, Severity.PAGE, Severity.WARNING, Severity.PAGE, Severity.RED]):
        see(store, NOW + hour * 60 * MINUTE, sighting(severity))
        told.append(tell(store, NOW + hour * 60 * MINUTE))
    assert told == [[News.OPENED], [News.WORSE], [], [], [News.WORSE]]


def test_what_lasts_is_told_again_after_the_reminder(store: Store) -> None:
    see(store, NOW, sighting())
    assert tell(store, NOW) == [News.OPENED]
    see(store, NOW + DAY, sighting())
    assert tell(store, NOW + DAY) == [News.REMINDER]
    assert tell(store, NOW + 2 * DAY - MINUTE) == []


def test_the_end_is_told_once_and_what_begins_anew_is_another_incident(store: Store) -> None:
    see(store, NOW, sighting())
    assert tell(store, NOW) == [News.OPENED]
    see(store, NOW + MINUTE)
    assert tell(store, NOW + MINUTE) == [News.OVER]
    assert tell(store, NOW + MINUTE) == []
    assert store.incidents(NOW + MINUTE) == []
    see(store, NOW + 2 * MINUTE, sighting())
    assert tell(store, NOW + 2 * MINUTE) == [News.OPENED]
    assert only(store, NOW + 2 * MINUTE).opened_at == NOW + 2 * MINUTE


def test_nobody_is_told_of_the_end_of_what_nobody_was_told_of(store: Store) -> None:
    see(store, NOW, sighting())
    see(store, NOW + MINUTE)
    assert tell(store, NOW + MINUTE) == []


def test_what_could_not_be_told_is_tried_again_ever_more_seldom_and_is_visible(store: Store) -> None:
    see(store, NOW, sighting())
    looks = [0, 1, 2, 3, 6, 7, 14, 15, 62, 63, 122, 123, 182, 183]
    tries = [minute for minute in looks if tell(store, NOW + minute * MINUTE, trouble="receiver down")]
    assert tries == [0, 1, 3, 7, 15, 62, 122, 182], "after 1, 2, 4, ... minutes, then hourly"
    assert only(store, NOW).told["mail"].trouble == "receiver down"
    assert tell(store, NOW + 242 * MINUTE) == [News.OPENED]
    assert only(store, NOW).told["mail"].trouble is None


def test_one_channel_that_is_down_keeps_nothing_from_the_other(store: Store) -> None:
    see(store, NOW, sighting())
    for notice in store.take_notices(["mail", "webhook"], DAY, NOW):
        store.record_notices([notice], "receiver down" if notice.channel == "mail" else None, NOW)
    assert news(store.take_notices(["mail", "webhook"], DAY, NOW + MINUTE)) == [("mail", News.OPENED)]


def test_what_a_dead_worker_took_is_told_by_another(store: Store) -> None:
    see(store, NOW, sighting())
    (dead,) = store.take_notices(["mail"], DAY, NOW)
    assert store.take_notices(["mail"], DAY, NOW + SENDING_TAKES - MINUTE) == []
    assert tell(store, NOW + SENDING_TAKES) == [News.OPENED]
    store.record_notices([dead], "it was not done in time", NOW + SENDING_TAKES)
    assert only(store, NOW).told["mail"].trouble is None


def test_a_channel_that_is_set_later_is_told_of_what_lasts(store: Store) -> None:
    see(store, NOW, sighting())
    assert tell(store, NOW, channels=()) == []
    assert tell(store, NOW + DAY, channels=("webhook",)) == [News.OPENED]


def test_a_look_that_cannot_judge_a_rule_leaves_its_incidents_as_they_are(store: Store) -> None:
    see(store, NOW, sighting())
    see(store, NOW + MINUTE, judged=EVERY_RULE - {"rows_need_a_person"})
    assert only(store, NOW).closed_at is None


def test_trouble_that_passes_quickly_is_told_to_nobody(store: Store) -> None:
    trouble = Sighting("salesforce_in_trouble", "salesforce_in_trouble", Severity.WARNING, "no calls are made")
    see(store, NOW, trouble)
    assert tell(store, NOW) == []
    see(store, NOW + 14 * MINUTE, trouble)
    assert tell(store, NOW + 14 * MINUTE) == []
    assert tell(store, NOW + 15 * MINUTE) == [News.OPENED]


def test_many_that_look_at_once_open_one_incident_and_take_one_notice(store: Store) -> None:
    def look(_: int) -> int:
        see(store, NOW, sighting())
        return len(store.take_notices(["mail"], DAY, NOW))

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(look, range(12))) == 1
    assert only(store, NOW).closed_at is None


def test_words_that_no_database_takes_are_mended(store: Store) -> None:
    see(store, NOW, sighting(words="a\0b \ud800" + "x" * 2_000))
    assert only(store, NOW).words.startswith("a\ufffdb \ufffdxxx")


def test_a_poll_tells_what_is_due_and_leaves_a_sign_of_life(store: Store) -> None:
    interval = timedelta(seconds=30)
    assert store.poll("queue", interval, Purpose.OPT_OUTS, NOW) == Poll(0, None)
    assert store.health(NOW).heartbeats == {"queue": Heartbeat(NOW, NOW + 10 * MINUTE)}
    store.enqueue([unsubscribe(contact(1))], NOW)
    assert store.poll("queue", interval, Purpose.OPT_OUTS, NOW) == Poll(1, None)


def test_heartbeats_are_kept_and_not_every_one_is_written(store: Store) -> None:
    second = timedelta(seconds=1)
    store.beat("queue", 30 * second, NOW)
    store.beat("queue", 30 * second, NOW + 30 * second)
    assert store.health(NOW).heartbeats == {"queue": Heartbeat(NOW, NOW + 10 * MINUTE)}
    store.beat("queue", 30 * second, NOW + 60 * second)
    store.beat("hourly", 60 * MINUTE, NOW)
    beats = store.health(NOW).heartbeats
    assert beats == {"hourly": Heartbeat(NOW, NOW + 180 * MINUTE), "queue": Heartbeat(NOW + MINUTE, NOW + 11 * MINUTE)}


def test_health_tells_what_is_owed_what_failed_and_what_calls_are_left(store: Store) -> None:
    assert store.health(NOW).oldest_opt_out is None
    for person in range(3):
        store.enqueue([unsubscribe(contact(person))], NOW + person * MINUTE)
    claim = claim_one(store)
    store.record([], [settled(claim, Status.FAILED)], [], NOW, release=True)
    store.enqueue([unsubscribe(contact(9), NOW - MINUTE)], NOW - MINUTE)
    undone = settled(claim_one(store), Status.FAILED)._replace(error_code="UNDONE")
    store.record([], [undone], [], NOW, release=True)
    store.admit(CALLER, ApiUsage(0, limit=1_000, used=10), NOW, calls=7)
    health = store.health(NOW + 2 * MINUTE)
    assert health.owed == {(Kind.UNSUBSCRIBE, Status.PENDING): 2, (Kind.UNSUBSCRIBE, Status.FAILED): 1}
    assert (health.oldest_opt_out, health.open_opt_outs()) == (NOW + MINUTE, 2)
    assert (health.calls_made, health.calls_ours) == (7, 500)
    assert (health.hold, health.restored_at) == (None, None)
    trouble = OrganisationUnavailable("SERVER_UNAVAILABLE", "down", "wait", passing=True)
    store.trip(CALLER, trouble, NOW, random.Random(1))
    hold = store.health(NOW).hold
    assert hold is not None
    assert hold.code == "SERVER_UNAVAILABLE"
