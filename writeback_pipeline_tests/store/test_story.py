"""One person's story out of a real ledger, after real deliveries: found by any name, followed wherever they went."""

from datetime import UTC, datetime, timedelta

from writeback_pipeline.delivery.synchronising import synchronise
from writeback_pipeline.delivery.undo import RunUndo
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.story import Facts, moments, standing
from writeback_pipeline.domain.writebacks import Change, Kind, utc_text
from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.world import START, World

AT = START + timedelta(minutes=1)


def kinds(facts: Facts) -> list[str]:
    return [moment.kind for moment in moments(facts)]


def told(facts: Facts) -> list[str]:
    return [moment.told for moment in moments(facts)]


def test_an_unsubscribe_is_told_from_the_event_to_the_opt_out_that_stands(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person, AT - timedelta(hours=1), reason="Bad Email", subscriber_id="s-1", email="ann@example.com")
    world.deliver()
    (facts,) = world.ledger.story(person)
    (note,) = world.notes(person)
    assert kinds(facts)[:3] == ["event", "opt_out", "queued"]
    assert kinds(facts)[-1] == "written"
    lines = told(facts)
    assert lines[0] == (
        f"Unsubscribed on the platform (Contact {person}, subscriber s-1, ann@example.com). Reason: Bad Email"
    )
    assert lines[1] == "Opted out on the platform. Evidence: writeback 1. We ticked Email Opt Out for it."
    assert any(line.startswith(f"Ticking Email Opt Out on {person}, not ticked before") for line in lines)
    assert any(line.startswith(f"Writing a Note to {person}") and "Contact unsubscribed" in line for line in lines)
    assert f"Salesforce confirmed the Note {note['Id']}." in lines
    assert lines[-1] == f"Writeback 1 was written, Note {note['Id']}; Email Opt Out was ticked."
    assert standing(facts) == [f"Opted out on the platform since {utc_text(AT - timedelta(hours=1))}."]
    assert [moment.at for moment in moments(facts)] == sorted(moment.at for moment in moments(facts))


def test_a_resubscribe_ends_the_opt_out(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    world.deliver()
    (facts,) = world.ledger.story(person)
    assert standing(facts) == ["No opt-out stands."]
    assert any(line.endswith("was taken back by writeback 2.") for line in told(facts))
    assert any(line.startswith(f"Clearing Email Opt Out on {person}, ticked before") for line in told(facts))


def test_a_refused_resubscribe_says_where_the_person_is_opted_out(world: World) -> None:
    person = world.contact(HasOptedOutOfEmail=True)
    world.resubscribe(person)
    world.deliver()
    (facts,) = world.ledger.story(person)
    (line,) = standing(facts)
    assert line.startswith("Writeback 1 (resubscribe) was refused. ORIGIN_")
    assert "Salesforce" in line
    assert not any("Email Opt Out on" in line for line in told(facts))


def test_what_salesforce_refused_and_what_to_do_is_told(world: World) -> None:
    person = world.contact()
    world.as_user(admin.delete, person)
    world.unsubscribe(person)
    world.deliver()
    (facts,) = world.ledger.story(person)
    assert standing(facts) == [
        "Writeback 1 (unsubscribe) needs a person. ENTITY_IS_DELETED. The record is in the recycle bin: undelete it or "
        "its master in Salesforce, then retry."
    ]


def test_a_story_goes_through_conversion_and_merge_and_is_found_by_every_name(world: World) -> None:
    lead, master = world.lead(), world.contact()
    world.unsubscribe(lead, subscriber_id="s-1", email="Ann@Example.com")
    world.deliver()
    contact = world.as_user(admin.convert_lead, lead)
    world.resubscribe(lead, subscriber_id="s-1")
    world.deliver()
    world.as_user(admin.merge, master, [contact])
    world.unsubscribe(contact, subscriber_id="s-1")
    world.deliver()
    world.deliver()
    (facts,) = world.ledger.story(master)
    assert [person.salesforce_id for person in facts.people] == [master, contact, lead]
    assert [row.id for row in facts.writebacks] == [1, 2, 3]
    moved = [moment.told for moment in moments(facts) if moment.kind == "moved"]
    assert moved == [
        f"Lead {lead} turned out to be converted: everything goes on with Contact {contact}.",
        f"Contact {contact} turned out to be merged: everything goes on with Contact {master}.",
    ]
    for name in (lead, lead[:15], contact, contact[:15], master[:15], "ann@example.com", "s-1", f" {lead} "):
        assert world.ledger.story(name) == [facts], name


def test_people_who_share_an_address_have_a_story_each(world: World) -> None:
    people = sorted([world.contact(), world.lead()])
    for person in people:
        world.unsubscribe(person, email="info@example.com")
    stories = world.ledger.story("INFO@example.com")
    assert [facts.people[0].salesforce_id for facts in stories] == people
    assert [len(facts.writebacks) for facts in stories] == [1, 1]


def test_somebody_without_a_record_has_a_story_too(world: World) -> None:
    nobody = Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, None, AT, subscriber_id="s-9", email="nobody@example.com")
    world.ledger.enqueue([nobody], AT)
    world.deliver()
    (facts,) = world.ledger.story("s-9")
    assert facts.people == ()
    assert told(facts)[0] == "Unsubscribed on the platform (subscriber s-9, nobody@example.com)."
    (line,) = standing(facts)
    assert line.startswith("Writeback 1 (unsubscribe) has nobody in Salesforce to be written to. ")
    person = world.contact()
    world.unsubscribe(person, subscriber_id="s-9")
    (joined,) = world.ledger.story(person)
    assert [row.salesforce_id for row in joined.writebacks] == [person, None]
    assert world.ledger.story("s-9") == [joined]


def test_a_run_that_was_taken_back_is_told_with_who_did_it(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    (note,) = world.notes(person)
    world.clock.advance(timedelta(seconds=1))
    RunUndo(world.ledger, world.organisation, world.clock, by="ann").run("run")
    (facts,) = world.ledger.story(person)
    assert "What run run wrote was taken back by ann." in told(facts)
    assert any(line.startswith(f"Deleting the Note {note['Id']}") for line in told(facts))
    assert any(
        line.startswith("Writeback 1 (unsubscribe) was taken back on purpose. UNDONE.") for line in standing(facts)
    )


def test_an_opt_out_that_was_made_and_taken_back_in_salesforce_is_told_with_who_did_it(world: World) -> None:
    person = world.contact()
    world.clock.at = datetime.now(UTC) + timedelta(minutes=1)
    synchronise(world.ledger, world.organisation, world.clock())  # who is opted out at the first sync is an import
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": True})
    synchronise(world.ledger, world.organisation, world.clock())
    (facts,) = world.ledger.story(person)
    (made,) = moments(facts)
    assert made.kind == "opt_out"
    assert made.told.startswith("Opted out in Salesforce. The record was last changed by ")
    assert standing(facts) == [f"Opted out in Salesforce since {utc_text(made.at)}."]
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    synchronise(world.ledger, world.organisation, world.clock())
    (facts,) = world.ledger.story(person)
    assert told(facts)[-1] == f"The opt-out in Salesforce of {utc_text(made.at)} was taken back where it was made."
    assert standing(facts) == ["No opt-out stands."]


def test_nobody_knows_a_stranger(world: World) -> None:
    assert world.ledger.story(world.contact()) == []
    assert world.ledger.story("stranger@example.com") == []
    assert world.ledger.story("") == []


def test_a_flag_of_ours_that_somebody_cleared_is_told_beside_our_setting_it_again(world: World) -> None:
    person = world.contact()
    synchronise(world.ledger, world.organisation, world.clock())
    world.unsubscribe(person)
    world.deliver()
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    somebody = world.record(person)["LastModifiedById"]
    for _ in range(2):  # reading it twice is telling it once
        world.clock.advance(timedelta(seconds=2))
        synchronise(world.ledger, world.organisation, world.clock())
    world.deliver()
    (facts,) = world.ledger.story(person)
    assert [line for line in told(facts) if "it is set again" in line] == [
        "Email Opt Out was cleared in Salesforce while the platform's opt-out stood: it is set again. "
        f"The record was last changed by {somebody}."
    ]
    assert world.opted_out(person)
