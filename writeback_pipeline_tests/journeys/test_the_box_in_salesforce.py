"""A Salesforce user ticks Email Opt Out on the record page, in a browser: the next sync tells the platform."""

from playwright.sync_api import Browser, expect

from writeback_pipeline.delivery.synchronising import synchronise
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline_tests.browser import open_page
from writeback_pipeline_tests.world import World


def test_a_box_ticked_on_the_record_page_is_seen_by_the_next_sync(world: World, browser: Browser) -> None:
    person = world.contact(FirstName="Ina", LastName="Box")
    synchronise(world.ledger, world.organisation, world.clock())
    page = open_page(browser, address=world.url)
    page.goto(f"/lightning/r/Contact/{person}/view")
    page.get_by_label("Email Opt Out").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_be_visible()

    synchronise(world.ledger, world.organisation, world.clock())
    (facts,) = world.ledger.story(person)
    (user,) = world.select("SELECT Id FROM User WHERE Username = 'admin@local.example'")
    assert [(each.origin, each.actor) for each in facts.opt_outs] == [("salesforce", user["Id"])]

    world.unsubscribe(person, reason="<b>enough</b>")
    world.resubscribe(person)
    world.deliver()
    assert [row.status for row in world.rows(person)] == [Status.WRITTEN, Status.REFUSED]
    page.reload()
    expect(page.get_by_label("Email Opt Out")).to_be_checked()
    note = page.get_by_role("article", name="Contact unsubscribed from Informz on")
    expect(note).to_contain_text("<b>enough</b>")
    page.context.close()
