"""A history under a bad network: one seed, one world behind the proxy, events and deliveries until all is at rest.

The clock stands still but where it is moved, and calls that come late are let through only while they still may.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from writeback_pipeline.delivery.activity import ActivityDelivery
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.ledger import LEASE, QUIET, WritebackFilter
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, OPEN_STATUSES, Status
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.fakes.ledger import MemoryLedger
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
from writeback_pipeline_tests.simulation.newsletter import KIND, WINDOW, Newsletter, key_of, text_of
from writeback_pipeline_tests.torture.proxy import FaultProxy, Weather
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.truth import Platform, Verdict
from writeback_pipeline_tests.torture.wire import CallType
from writeback_pipeline_tests.world import Clock, World

READ_SECONDS = 0.6
"""How long the gateway waits here in bad weather for what may never come; on a fine day it is patient."""

SHARE = 0.6
"""Of the calls that write, those that a fault strikes."""

PEOPLE, ROUNDS, EVENTS_A_ROUND = 30, 60, 8
TRIES_A_ROUND = 2
UNTIL_REST = 12
"""Quiet times at most until nothing is owed any more."""


@dataclass
class History:
    """What a seed came to: its verdict, and how many faults of which kind struck which calls."""

    seed: int
    opt_outs: Verdict
    tasks: Verdict
    struck: Counter[tuple[str, CallType]]
    calls: int
    strangers: int
    troubles: Counter[str] = field(default_factory=Counter)


def play(seed: int, home: Path, ledger: Store | MemoryLedger, rounds: int = ROUNDS) -> History:
    """Play the history of that seed in an empty folder, on an empty ledger."""
    chance = random.Random(seed)
    troubles: Counter[str] = Counter()
    with _behind_proxy(home, ledger) as (world, proxy):
        people = [world.lead() if chance.random() < 0.3 else world.contact() for _ in range(PEOPLE)]
        story, platform = Story(chance, people), Platform()
        newsletter = Newsletter()
        _mail(newsletter, people)
        weather = proxy.weather = Weather(random.Random(f"weather {seed}"), SHARE)
        _log_in_again(world, proxy)
        for _ in range(rounds):
            platform.queue(world.ledger, story.goes_on(EVENTS_A_ROUND, world.clock()), world.clock())
            for _ in range(TRIES_A_ROUND):
                _opt_outs(world, proxy, chance, troubles)
                if chance.random() < 0.3:
                    _mail(newsletter, chance.choices(people, k=3))
                    _activity(world, proxy, newsletter, chance, troubles)
            _wait(world, proxy, timedelta(seconds=chance.choice((1, 20, 60, 200, 700))))
        proxy.weather = None
        _log_in_again(world, proxy)
        for _ in range(UNTIL_REST):
            _wait(world, proxy, LEASE + QUIET)
            _opt_outs(world, proxy, chance, troubles)
            _activity(world, proxy, newsletter, chance, troubles)
            if not _owed(world):
                break
        return History(
            seed,
            platform.judge(world.ledger, world.inside),
            _judged(newsletter, world),
            weather.struck,
            weather.calls.total(),
            proxy.strangers(),
            troubles,
        )


def _mail(newsletter: Newsletter, people: Iterable[str]) -> None:
    for person in people:
        newsletter.goes_to(PersonRef(ObjectType.LEAD if person.startswith("00Q") else ObjectType.CONTACT, person))


def _judged(newsletter: Newsletter, world: World) -> Verdict:
    """Every person who was sent something has one Task, which tells how often."""
    told: defaultdict[str, list[str]] = defaultdict(list)
    for task in world.select("SELECT * FROM Task"):
        told[task["Writeback_Key__c"]].append(task["Description"])
    texts = {person: told[key_of(person)] for person in newsletter.sent}
    rows = world.ledger.writebacks(WritebackFilter(kinds=ACTIVITY_KINDS))
    return Verdict(
        events=len(texts),
        lost=tuple(person.salesforce_id for person, theirs in texts.items() if not theirs),
        duplicated=tuple(person.salesforce_id for person, theirs in texts.items() if len(theirs) > 1),
        stale=tuple(
            person.salesforce_id
            for person, theirs in texts.items()
            if text_of(person, newsletter.sent[person]) not in theirs
        ),
        unfinished=tuple(f"{row.salesforce_id} {row.status}" for row in rows if row.status is not Status.WRITTEN),
    )


def _owed(world: World) -> int:
    return world.ledger.count(WritebackFilter(statuses=OPEN_STATUSES))


def _opt_outs(world: World, proxy: FaultProxy, chance: random.Random, troubles: Counter[str]) -> None:
    with _attempt(world, proxy, chance, troubles):
        OptOutDelivery(world.ledger, world.organisation, world.clock, jitter=chance).run()


def _activity(
    world: World, proxy: FaultProxy, newsletter: Newsletter, chance: random.Random, troubles: Counter[str]
) -> None:
    with _attempt(world, proxy, chance, troubles):
        delivery = ActivityDelivery(world.ledger, world.organisation, world.clock, jitter=chance)
        delivery.run(KIND, WINDOW, newsletter.counted())


@contextmanager
def _attempt(world: World, proxy: FaultProxy, chance: random.Random, troubles: Counter[str]) -> Iterator[None]:
    """A run, now and then over a session of its own; its trouble is counted, and passes."""
    if chance.random() < 0.2:
        _log_in_again(world, proxy)
    try:
        yield
    except OrganisationUnavailable as trouble:
        troubles[trouble.code] += 1
        if not trouble.passing:  # somebody mends it, and a new session begins
            _log_in_again(world, proxy)
    proxy.recover()
    _wait(world, proxy, timedelta())  # whatever the proxy is still at must be over before the clock moves


def _wait(world: World, proxy: FaultProxy, length: timedelta) -> None:
    """Let the clock go on; late calls arrive meanwhile."""
    world.clock.advance(length)
    proxy.commit_late(world.clock())


def _log_in_again(world: World, proxy: FaultProxy) -> None:
    world.organisation.close()
    world.organisation = _connect(proxy)


def _connect(proxy: FaultProxy) -> SalesforceOrganisation:
    connection = SalesforceConnection(proxy.url, "local", ClientCredentials("local"))
    waits_in_vain = proxy.weather is not None and not proxy.silence_is_told
    return SalesforceOrganisation(connection, read_seconds=READ_SECONDS if waits_in_vain else PATIENCE_SECONDS)


@contextmanager
def _behind_proxy(home: Path, ledger: Store | MemoryLedger) -> Iterator[tuple[World, FaultProxy]]:
    database = home / "local_org.sqlite"
    with run_in_thread(database) as server:
        inside = open_org(database)
        clock = Clock()
        proxy = FaultProxy(server.url, inside, clock)
        world = World(home, ledger, _connect(proxy), inside, proxy.url, clock)  # type: ignore[arg-type]
        try:
            # Real seconds of waiting are what the real store's histories are for.
            with proxy.counted_as_silence() if isinstance(ledger, MemoryLedger) else nullcontext():
                yield world, proxy
        finally:
            world.organisation.close()
            proxy.close()
            inside.close()
