"""The organisation's own pages in a real browser: the main path, the keyboard alone, a narrow screen, dark, axe."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from writeback_pipeline.local_org import admin, faults
from writeback_pipeline_tests.browser import NARROW, WIDE, check_accessible, open_page, picture
from writeback_pipeline_tests.local_org.support import Api, Org

HOSTILE = "<img src=x onerror=alert(1)>\u202e\"'><script>alert(2)</script>" + "long" * 100


@pytest.fixture(params=[(WIDE, False), (NARROW, True)], ids=["wide", "narrow-dark"])
def look(request: pytest.FixtureRequest) -> tuple[tuple[int, int], bool]:
    """Size of the window, and whether it is dark."""
    look: tuple[tuple[int, int], bool] = request.param
    return look


@pytest.fixture
def page(api: Api, browser: Browser) -> Iterator[Page]:
    yield from opened(api, browser, WIDE, dark=False)


@pytest.fixture
def any_page(api: Api, browser: Browser, look: tuple[tuple[int, int], bool]) -> Iterator[Page]:
    yield from opened(api, browser, look[0], dark=look[1])


def opened(api: Api, browser: Browser, size: tuple[int, int], *, dark: bool) -> Iterator[Page]:
    """A page that complains of nothing but refusals: its console would tell of a script that was kept from running."""
    page = open_page(browser, size=size, dark=dark, address=api.url)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    page.context.close()
    assert [each for each in complaints if "responded with a status of 400" not in each] == []


def test_somebody_is_searched_opted_out_and_shown_so(api: Api, page: Page) -> None:
    person = api.create("Contact", FirstName="Berta", LastName="Browser", Email="berta@example.org")
    page.goto("/")
    page.get_by_label("Search by name, e-mail or id").fill("berta@ex")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Berta Browser").click()
    expect(page.get_by_text("May be sent")).to_be_visible()
    page.get_by_label("Email Opt Out").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Email Opt Out was saved.")
    expect(page.get_by_text("Opted out", exact=True)).to_be_visible()
    expect(page.get_by_label("Email Opt Out")).to_be_checked()
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is True


def test_the_keyboard_is_enough(api: Api, page: Page) -> None:
    person = api.create("Contact", LastName="Keys")
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.type(person)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    page.wait_for_load_state()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Email Opt Out")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is True


def test_a_lead_is_converted_merged_away_and_brought_back(api: Api, page: Page) -> None:
    lead, other = api.create("Lead", LastName="Young", Company="x"), api.create("Contact", LastName="Other")
    page.goto(f"/record/{lead}")
    page.get_by_text("Convert the Lead…").click()
    page.get_by_role("button", name="Convert").click()
    expect(page.get_by_role("status")).to_have_text("The Lead was converted; this is the Contact.")
    page.get_by_text("Merge others into this Contact…").click()
    page.get_by_label("Ids of one or two other Contacts").fill(other)
    page.get_by_role("button", name="Merge").click()
    expect(page.get_by_role("status")).to_have_text("The records were merged into this one.")
    page.goto(f"/record/{other}")
    page.get_by_role("link", name="Contact 003").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Young")
    page.get_by_text("Delete the Contact…").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undelete").click()
    expect(page.get_by_role("status")).to_have_text("The record is back from the recycle bin.")


def test_a_fault_is_armed_and_disarmed(org: Org, page: Page) -> None:
    page.goto("/setup")
    page.get_by_role("link", name="Arm row_lock").click()
    page.get_by_label("object").select_option("Contact")
    page.get_by_label("times", exact=True).fill("three")
    page.get_by_role("button", name="Arm").click()
    expect(page.get_by_role("alert")).to_contain_text("times is not 'three'")
    expect(page.get_by_label("object")).to_have_value("Contact")
    page.get_by_label("times", exact=True).fill("3")
    page.get_by_role("button", name="Arm").click()
    expect(page.get_by_role("status")).to_have_text("The fault is armed.")
    (fault,) = faults.armed(org.connection)
    assert (fault.kind, fault.object, fault.times) == ("row_lock", "Contact", 3)
    page.get_by_role("button", name="Disarm row_lock").click()
    expect(page.get_by_text("None: the organisation behaves.")).to_be_visible()


def test_no_page_shuts_anybody_out(api: Api, org: Org, any_page: Page, look: tuple[tuple[int, int], bool]) -> None:
    person = api.create("Contact", LastName=HOSTILE[:80], Email="h@example.org", Description=HOSTILE)
    api.create("Note", ParentId=person, Title=HOSTILE[:80], Body=HOSTILE)
    api.create("Task", WhoId=person, Subject=HOSTILE[:80], Status="Completed", Description=HOSTILE)
    lead = api.create("Lead", LastName="Converted", Company="x")
    admin.convert_lead(org.administrator(), lead)
    faults.arm(org.connection, "row_lock", times=3, message=HOSTILE)
    pages = {
        "home": "/", "found": "/?q=h@example.org", "nobody": "/?q=nobody", "record": f"/record/{person}",
        "converted": f"/record/{lead}", "setup": "/setup", "fault": "/setup/faults/row_lock",
    }  # fmt: skip
    for name, path in pages.items():
        any_page.goto(path)
        check_accessible(any_page)
        expect(any_page.get_by_role("banner")).to_contain_text("sample data, not Salesforce")
        expect(any_page.get_by_role("main")).to_be_visible()
        picture(any_page, f"org-{name}{'-narrow-dark' if look[1] else ''}")


def test_a_form_of_another_site_changes_nothing(api: Api, browser: Browser) -> None:
    person = api.create("Contact", LastName="Target")
    page = open_page(browser)
    page.set_content(
        f'<form method="post" action="{api.url}/record/{person}/opt-out">'
        '<input type="hidden" name="was" value="clear"><input type="hidden" name="ticked" value="on">'
        "<button>Win a prize</button></form>"
    )
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not from there")
    page.context.close()
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is False
