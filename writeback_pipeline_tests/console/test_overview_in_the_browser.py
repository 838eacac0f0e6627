"""The overview and a person's page in a real browser: the main path, the keyboard alone, narrow, dark, live, axe."""

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from writeback_pipeline.domain.ledger import Claim, Settlement
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline_tests.browser import NARROW, WIDE, check_accessible, open_page, picture
from writeback_pipeline_tests.console.serving import START, Served
from writeback_pipeline_tests.contracts.story import contact, settled

HOSTILE = "<img src=x onerror=alert(1)>\u202e'\"" + "long" * 100


def fill(served: Served) -> str:
    """Twelve days of opt-outs, most of them written, two failed; the id of somebody with a hostile reason."""
    for day in range(12):
        queued = START - timedelta(days=day, minutes=3)
        people = [contact(100 * day + number).salesforce_id for number in range(3 + day % 4)]
        changes = [
            Change(
                Kind.UNSUBSCRIBE, ObjectType.CONTACT, each, queued - timedelta(hours=2), HOSTILE, email="a@b.example"
            )
            for each in people
        ]
        served.store.enqueue(changes, queued)
        at = queued + timedelta(minutes=2)
        claims = served.store.claim("worker", at, limit=len(people))
        served.store.record([], [ended(claim, day, n) for n, claim in enumerate(claims)], [], at, release=True)
    return contact(0).salesforce_id


def ended(claim: Claim, day: int, number: int) -> Settlement:
    if number == 2 and day < 2:
        return settled(claim, Status.FAILED)._replace(error_code=HOSTILE, advice=HOSTILE)
    at = START - timedelta(days=day) + timedelta(minutes=number)
    return settled(claim, Status.WRITTEN)._replace(written_at=at)


def opened(browser: Browser, served: Served, path: str, **how: object) -> Page:
    page = open_page(browser, address=served.address, **how)  # type: ignore[arg-type]
    page.goto(path)
    return page


def drawn(page: Page) -> list[bool]:
    """Of each chart, whether the browser could show it."""
    page.wait_for_load_state("networkidle")
    shown: list[bool] = page.evaluate("[...document.querySelectorAll('img.chart')].map(i => i.naturalWidth > 100)")
    return shown


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (WIDE, True), (NARROW, True)])
def test_nobody_is_shut_out(browser: Browser, served: Served, size: tuple[int, int], *, dark: bool) -> None:
    person = fill(served)
    name = f"{'narrow' if size == NARROW else 'wide'}{'-dark' if dark else ''}"
    page = opened(browser, served, "/", size=size, dark=dark)
    assert drawn(page) == [True, True]
    for summary in page.get_by_text("Numbers").all():
        summary.click()
    check_accessible(page)
    picture(page, f"overview-{name}")
    page.goto(f"/people/{person}")
    expect(page.get_by_role("heading", level=1)).to_have_text(person)
    check_accessible(page)
    picture(page, f"person-{name}")
    page.context.close()


def test_the_way_from_what_is_wrong_to_the_numbers_needs_no_mouse(browser: Browser, served: Served) -> None:
    fill(served)
    page = opened(browser, served, "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("table").filter(has_text="23 Nov").first).to_be_visible()
    page.context.close()


def test_the_overview_keeps_itself_up_to_date(browser: Browser, served: Served) -> None:
    page = open_page(browser, address=served.address)
    page.clock.install()
    page.goto("/")
    expect(page.get_by_text("Nothing has been queued yet")).to_be_visible()
    person = contact(1).salesforce_id
    served.store.enqueue([Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, START)], START)
    page.clock.fast_forward(11_000)
    expect(page.get_by_text("Nothing has been queued yet")).to_be_hidden()
    expect(page.locator(".numbers div", has_text="opt-outs waiting")).to_contain_text("1")
    page.context.close()


def test_a_person_is_found_from_any_page_and_looked_up_in_salesforce(browser: Browser, served: Served) -> None:
    fill(served)
    page = opened(browser, served, "/")
    page.get_by_label("Find a person").fill(contact(0).salesforce_id[:15])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2).first).to_have_text(f"Contact {contact(0).salesforce_id}")
    page.get_by_role("button", name="Look in Salesforce now").click()
    expect(page.get_by_role("alert")).to_contain_text("Salesforce did not say: NO_ANSWER")
    page.context.close()


def test_a_stranger_is_said_to_be_one(browser: Browser, served: Served) -> None:
    page = opened(browser, served, "/people/stranger@example.org", size=NARROW)
    expect(page.get_by_role("heading", level=1)).to_have_text("Nobody is known as stranger@example.org")
    check_accessible(page)
    page.context.close()


def test_both_pages_work_without_script(browser: Browser, served: Served) -> None:
    person = fill(served)
    page = opened(browser, served, "/", script=False)
    page.get_by_text("Numbers").first.click()
    expect(page.get_by_role("table").filter(has_text="23 Nov").first).to_be_visible()
    page.get_by_label("Find a person").fill(person)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("button", name="Look in Salesforce now").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.context.close()


@pytest.mark.duckdb_file
def test_a_database_that_fails_is_told_and_takes_nothing_off_a_page_that_is_open(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    fill(served)
    page = open_page(browser, address=served.address)
    page.clock.install()
    page.goto("/")
    expect(page.get_by_role("heading", name="What needs a person")).to_be_visible()
    (tmp_path / "writebacks.duckdb").write_bytes(b"no database at all" * 100)
    with page.expect_response("**/"):
        page.clock.fast_forward(11_000)
    expect(page.get_by_role("heading", name="What needs a person")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not possible now")
    check_accessible(page)
    page.context.close()
