"""Who may undo an opt-out: the platform and Salesforce opting somebody out and in, in every order, through real runs.

The expected columns say what the mission says: an opt-out stands until it is taken back on the side where it was made;
the flag is cleared only when none stands; what we set and somebody cleared in Salesforce is set again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.delivery.synchronising import SyncReport, synchronise
from writeback_pipeline.domain.sync import Finding
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.world import START, World, world_in

PLATFORM, SALESFORCE, BOTH = "platform", "salesforce", "platform,salesforce"
W, R = Status.WRITTEN, Status.REFUSED


def sync(world: World) -> SyncReport:
    world.clock.advance(timedelta(seconds=1))
    return synchronise(world.ledger, world.organisation, world.clock())


def status(world: World, person: str) -> tuple[str, str] | None:
    """What the platform reads: status and the origins that made it so."""
    with open_database(world.database).reading() as session:
        rows = session.execute(
            "SELECT status, origin FROM subscriber_status WHERE salesforce_id = $1", [person]
        ).fetchall()
    return rows[0] if rows else None


def play(world: World, people: dict[str, str]) -> None:
    """Each person by the steps they go through.

    P and p are an unsubscribe and a resubscribe of the platform, S and s the box ticked and cleared in Salesforce.
    After each step everything runs that would run by itself.
    """
    sync(world)
    for number in range(max(map(len, people.values()))):
        for person, steps in people.items():
            step = steps[number : number + 1]
            if step in ("S", "s"):
                world.as_user(admin.edit, person, {"HasOptedOutOfEmail": step == "S"})
            elif step:
                (world.unsubscribe if step == "P" else world.resubscribe)(person)
        world.deliver()
        sync(world)
        world.deliver()


@dataclass(frozen=True)
class Ending:
    """What is true of a person in the end: the box, what the platform reads, and what became of its changes."""

    flag: bool
    status: str | None
    origin: str | None
    changes: list[Status]
    advice: list[str | None]
    notes: list[str]


def endings(home: Path, cases: list[str], *, suppressed: bool) -> dict[tuple[str, str], Ending]:
    """By object and steps."""
    with world_in(home) as world:
        if suppressed:
            world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", START)
        people = {getattr(world, make)(): (make, steps) for make in ("contact", "lead") for steps in cases}
        play(world, {person: steps for person, (_, steps) in people.items()})
        read = {person: status(world, person) or (None, None) for person in people}
        return {
            case: Ending(
                world.opted_out(person),
                read[person][0],
                read[person][1],
                [row.status for row in world.rows(person)],
                [row.advice for row in world.rows(person) if row.status is R],
                [note["Title"].split(" on ")[0].partition(" ")[2] for note in world.notes(person)],
            )
            for person, case in people.items()
        }


OUT, IN = "opted_out", "subscribed"
TRUTH = {
    "P": (True, OUT, PLATFORM, [W]),
    "S": (True, OUT, SALESFORCE, []),
    "p": (False, None, None, [R]),
    "s": (False, None, None, []),
    "Pp": (False, IN, PLATFORM, [W, W]),
    "Ps": (True, OUT, PLATFORM, [W]),
    "PS": (True, OUT, PLATFORM, [W]),
    "Sp": (True, OUT, SALESFORCE, [R]),
    "Ss": (False, IN, SALESFORCE, []),
    "SP": (True, OUT, BOTH, [W]),
    "SPp": (True, OUT, BOTH, [W, R]),
    "SPs": (True, OUT, PLATFORM, [W]),
    "SPsp": (False, IN, BOTH, [W, W]),
    "SPps": (True, OUT, PLATFORM, [W, R]),
    "Psp": (False, IN, PLATFORM, [W, W]),
    "PpS": (True, OUT, SALESFORCE, [W, W]),
    "PpSp": (True, OUT, SALESFORCE, [W, W, R]),
    "PpSs": (False, IN, BOTH, [W, W]),
    "SsP": (True, OUT, PLATFORM, [W]),
    "Ssp": (False, IN, SALESFORCE, [R]),
}
"""Steps, and then: the box, the platform's status and its origins, what became of the platform's changes."""

SUPPRESSED = {
    "P": (False, OUT, PLATFORM, [W]),
    "Pp": (False, IN, PLATFORM, [W, W]),
    "Ps": (False, OUT, PLATFORM, [W]),
    "S": (True, OUT, SALESFORCE, []),
    "Ss": (False, IN, SALESFORCE, []),
    "Sp": (True, OUT, SALESFORCE, [R]),
    "SP": (True, OUT, BOTH, [W]),
    "SPs": (False, OUT, PLATFORM, [W]),
    "SPp": (True, OUT, SALESFORCE, [W, W]),
}
"""The same while the flag is left alone: each side has its own opt-outs, and only Salesforce's users touch the box."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[tuple[str, str], Ending]]:
    return {
        suppressed: endings(tmp_path_factory.mktemp("both"), list(table), suppressed=suppressed)
        for suppressed, table in ((False, TRUTH), (True, SUPPRESSED))
    }


@pytest.mark.parametrize("make", ["contact", "lead"])
@pytest.mark.parametrize(
    ("suppressed", "steps"),
    [(suppressed, steps) for suppressed, t in ((False, TRUTH), (True, SUPPRESSED)) for steps in t],
)
def test_an_opt_out_is_undone_where_it_was_made(
    played: dict[bool, dict[tuple[str, str], Ending]], suppressed: bool, make: str, steps: str
) -> None:
    flag, state, origin, changes = (SUPPRESSED if suppressed else TRUTH)[steps]
    ending = played[suppressed][make, steps]
    assert (ending.flag, ending.status, ending.origin, ending.changes) == (flag, state, origin, changes)
    assert all("in Salesforce" in (advice or "") for advice in ending.advice)
    words = {"P": "unsubscribed from Informz", "p": "resubscribed to Informz"}
    platform = [step for step in steps if step in words]
    assert ending.notes == [words[step] for step, became in zip(platform, changes, strict=True) if became is W]


def test_people_who_were_opted_out_before_are_known_after_the_first_reading(world: World) -> None:
    person, other = world.contact(HasOptedOutOfEmail=True), world.lead(HasOptedOutOfEmail=True)
    world.contact()
    report = sync(world)
    assert (report.first, report.news[Finding.OPTED_OUT]) == (True, 2)
    assert status(world, person) == status(world, other) == ("opted_out", "import")
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    sync(world)
    assert (status(world, person) or ("", ""))[0] == "subscribed"


def test_somebody_created_opted_out_is_found(world: World) -> None:
    sync(world)
    person = world.contact(HasOptedOutOfEmail=True)
    sync(world)
    assert status(world, person) == ("opted_out", SALESFORCE)


def test_our_own_writes_are_no_news(world: World) -> None:
    sync(world)
    people = [world.contact() for _ in range(5)]
    world.unsubscribe_all(people)
    world.deliver()
    report = sync(world)
    assert report.read >= 5
    assert report.news.total() == 0


def test_what_is_being_written_right_now_is_looked_at_again_next_time(world: World) -> None:
    person = world.contact()
    sync(world)
    world.unsubscribe(person)
    world.deliver()
    # As if the answer had not been recorded yet when the reading began.
    report = synchronise(world.ledger, world.organisation, world.clock() - timedelta(seconds=1))
    assert +report.news == {Finding.LATER: 1}
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    assert sync(world).news[Finding.OURS_CLEARED] == 1


def test_an_opt_out_of_ours_that_a_merge_or_a_conversion_lost_is_applied_again(world: World) -> None:
    sync(world)
    loser, master, lead = world.contact(), world.contact(), world.lead()
    for person in (loser, lead):
        world.unsubscribe(person)
    world.deliver()
    world.as_user(admin.merge, master, [loser])
    contact = world.as_user(admin.convert_lead, lead)
    world.as_user(admin.edit, contact, {"HasOptedOutOfEmail": False})
    assert not world.opted_out(master)
    assert sync(world).moved == 2
    world.deliver()
    assert world.opted_out(master)
    assert world.opted_out(contact)
    assert status(world, master) == ("opted_out", PLATFORM)


def test_a_quiet_reading_costs_three_calls_at_most(world: World) -> None:
    for _ in range(5):
        world.contact(HasOptedOutOfEmail=True)
    sync(world)
    before = world.organisation.usage.calls
    report = sync(world)
    assert (report.first, report.news.total()) == (False, 0)
    assert world.organisation.usage.calls - before == 1


def test_a_change_that_became_visible_late_is_found_all_the_same(world: World) -> None:
    sync(world)
    world.clock.advance(timedelta(minutes=11))
    sync(world)
    person = world.contact(HasOptedOutOfEmail=True)
    with world.inside.connection() as connection:  # as if its transaction had begun minutes ago and just ended
        begun = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        connection.execute("UPDATE Contact SET SystemModstamp = ? WHERE Id = ?", (begun, person))
    assert sync(world).news.total() == 0
    world.clock.advance(timedelta(minutes=11))
    assert sync(world).news[Finding.OPTED_OUT] == 1
    assert status(world, person) == ("opted_out", SALESFORCE)


def test_what_was_settled_is_not_read_again_and_again(world: World) -> None:
    for _ in range(5):
        world.contact(HasOptedOutOfEmail=True)
    with world.inside.connection() as connection:
        connection.execute("UPDATE Contact SET SystemModstamp = '2026-01-05T00:00:00.000+0000'")
    sync(world)
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        assert sync(world).read == 0


def test_somebody_deleted_in_salesforce_stays_opted_out_on_the_platform(world: World) -> None:
    sync(world)
    person = world.contact()
    play(world, {person: "S"})
    world.as_user(admin.delete, person)
    sync(world)
    assert status(world, person) == ("opted_out", SALESFORCE)


def test_an_opt_out_made_in_salesforce_is_not_ended_by_a_merge(world: World) -> None:
    sync(world)
    loser, master = world.contact(), world.contact()
    play(world, {loser: "S"})
    world.as_user(admin.merge, master, [loser])
    for _ in range(2):
        sync(world)
    assert not world.opted_out(master)  # nobody knows whether somebody wanted that
    assert status(world, master) == ("opted_out", SALESFORCE)
    play(world, {master: "Ss"})
    assert status(world, master) == ("subscribed", SALESFORCE)
