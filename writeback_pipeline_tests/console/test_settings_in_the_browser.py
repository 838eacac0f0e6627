"""Writeback Settings, Send now and signing in, in a real browser: the main path, the keyboard alone, narrow, dark, two
tabs, an ended session, hostile text, and a database that fails."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from writeback_pipeline.console.sessions import IDLE
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.browser import NARROW, WIDE, check_accessible, open_page, picture
from writeback_pipeline_tests.console.serving import OPERATOR, PASSWORD, START, Served, local_access, serving
from writeback_pipeline_tests.console.test_send_page import QUERY, mail

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "'\"><script>alert(1)</script>",
    "{{ 7*7 }}${7*7}",
    "\u202eesrever" + "w" * 200,
]


@pytest.fixture
def tab(browser: Browser, served: Served) -> Iterator[Page]:
    page = open_page(browser, address=served.address)
    yield page
    page.context.close()


def sign_in(page: Page) -> None:
    page.get_by_label("Name").fill(OPERATOR)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_an_administrator_changes_settings_and_sees_what_changed(served: Served, tab: Page) -> None:
    tab.goto("/settings")
    tab.get_by_label("Opened").check()
    tab.get_by_role("radio", name="Daily").last.check()
    tab.get_by_label("Time zone").fill("Europe/Berlin")
    tab.get_by_role("button", name="Save").click()
    notice = tab.get_by_role("status").first
    expect(notice).to_contain_text("Frequency: Manual → Daily")
    expect(notice).to_contain_text("The next delivery is due Tue 24 Nov 2026, 06:20 CET.")
    expect(tab.get_by_role("row", name=re.compile("tester Opened off on"))).to_be_visible()
    check_accessible(tab)
    picture(tab, "settings-saved")
    assert served.store.settings().time_zone == "Europe/Berlin"


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (WIDE, True), (NARROW, False)])
def test_nobody_is_shut_out(browser: Browser, served: Served, size: tuple[int, int], *, dark: bool) -> None:
    served.store.change_settings({"frequency": "daily", "time_zone": "America/New_York"}, "olga", START)
    mail(served)
    page = open_page(browser, address=served.address, size=size, dark=dark)
    name = f"{'narrow' if size == NARROW else 'wide'}{'-dark' if dark else ''}"
    page.goto("/settings")
    picture(page, f"settings-{name}")
    page.get_by_text("Advanced").click()
    page.get_by_label("Bulk API from").fill("none")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Bulk API from")).to_have_attribute("aria-invalid", "true")
    check_accessible(page)
    picture(page, f"settings-wrong-{name}")
    page.goto(QUERY)
    page.get_by_role("button", name="Send these 3 windows").click()
    expect(page.get_by_role("status").first).to_contain_text("3 runs are on the way")
    page.goto(QUERY)
    check_accessible(page)
    picture(page, f"send-{name}")
    for path in ("/settings/history", "/no-such-page"):
        page.goto(path)
        check_accessible(page)
    page.context.close()


def test_the_keyboard_alone_is_enough(served: Served, tab: Page) -> None:
    tab.goto("/settings")
    tab.keyboard.press("Tab")
    expect(tab.get_by_text("Skip to the content")).to_be_focused()
    tab.keyboard.press("Enter")
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "opened":
            break
    tab.keyboard.press("Space")
    tab.keyboard.press("Tab")
    tab.keyboard.press("ArrowDown")  # from daily to weekly windows
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status").first).to_contain_text("Saved.")
    assert (served.store.settings().opened, served.store.settings().occurrence) == (True, "weekly")


def test_focus_is_seen(tab: Page) -> None:
    tab.goto("/settings")
    for selector in ("#opened", "#time_zone", "button.primary", "summary", ".menu a"):
        tab.locator(selector).first.focus()
        tab.keyboard.press("Shift+Tab")
        tab.keyboard.press("Tab")
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", selector


def test_everything_works_without_script(browser: Browser, served: Served) -> None:
    mail(served)
    page = open_page(browser, address=served.address, script=False)
    page.goto("/settings")
    page.get_by_label("Opened").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    page.get_by_role("link", name="Send now").click()
    page.get_by_label("First window").fill("2026-11-20")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Send these 3 windows").click()
    expect(page.get_by_role("status").first).to_contain_text("3 runs are on the way")
    assert len(served.runs.launched) == 3
    page.context.close()


def test_runs_are_followed_by_themselves_until_they_are_over(served: Served, tab: Page) -> None:
    mail(served)
    tab.goto(QUERY)
    tab.get_by_role("button", name="Send these 3 windows").click()
    expect(tab.locator("#recent .status-queued")).to_have_count(3)
    served.runs.runs = [type(run)(run.id, "success", run.tags) for run in served.runs.runs]
    expect(tab.locator("#recent .status-success")).to_have_count(3)
    expect(tab.locator("[data-live]")).to_have_count(0)


def test_two_tabs_save_and_the_second_is_told(served: Served, browser: Browser) -> None:
    first, second = (open_page(browser, address=served.address) for _ in range(2))
    for page in (first, second):
        page.goto("/settings")
    first.get_by_role("radio", name="Hourly").check()
    first.get_by_role("button", name="Save").click()
    expect(first.get_by_role("status").first).to_contain_text("Saved.")
    second.get_by_label("Opened").check()
    second.get_by_role("button", name="Save").click()
    expect(second.get_by_role("alert")).to_contain_text("Frequency: Manual → Hourly, by tester")
    expect(second.get_by_label("Opened")).to_be_checked()
    expect(second.get_by_role("radio", name="Hourly")).to_be_checked()
    check_accessible(second)
    picture(second, "settings-conflict")
    second.get_by_role("button", name="Save").click()
    expect(second.get_by_role("status").first).to_contain_text("Opened: off → on")
    assert served.store.settings().frequency == "hourly"


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)])
def test_what_was_filled_in_outlives_the_session(
    browser: Browser, guarded: Served, size: tuple[int, int], *, dark: bool
) -> None:
    page = open_page(browser, address=guarded.address, size=size, dark=dark)
    page.goto("/settings")
    check_accessible(page)
    picture(page, f"sign-in-{'narrow-dark' if dark else 'wide'}")
    sign_in(page)
    page.wait_for_url("**/settings")
    page.get_by_label("Opened").check()
    guarded.clock.forward(IDLE + timedelta(minutes=1))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing was saved. What you filled in is kept")
    check_accessible(page)
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Not saved yet")
    check_accessible(page)
    picture(page, f"kept-{'narrow-dark' if dark else 'wide'}")
    page.get_by_role("button", name="Send it now").click()
    expect(page.get_by_role("status").first).to_contain_text("Opened: off → on")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_contain_text("You are signed out.")
    page.goto("/settings")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.context.close()


def test_hostile_text_is_only_text(browser: Browser, served: Served, tmp_path: Path) -> None:
    for text in HOSTILE:
        served.store.change_settings({"bulk_threshold": str(100 + len(text))}, text, START)
    with open_database(ledgers.location(tmp_path)).writing() as session:
        session.execute("UPDATE settings SET value = $1 WHERE name = 'platform_name'", [HOSTILE[1]])
        session.execute("UPDATE settings_history SET new_value = $1, name = $1", [HOSTILE[1]])
    for size in (WIDE, NARROW):
        page = open_page(browser, address=served.address, size=size)
        page.goto("/settings")
        expect(page.get_by_text(HOSTILE[0]).first).to_be_visible()
        expect(page.locator("#platform_name")).to_have_value(HOSTILE[1])
        check_accessible(page)
        picture(page, f"settings-hostile-{size[0]}")
        page.goto("/settings/send?from=" + HOSTILE[1] + "&occurrence=" + HOSTILE[0] + "&kind=" + HOSTILE[2])
        check_accessible(page)
        page.context.close()


@pytest.fixture
def impatient_tab(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The console of whom soon gives up where others keep the database open."""
    with serving(tmp_path, local_access(), wait=timedelta(seconds=1)) as running:
        page = open_page(browser, address=running.address)
        yield page
        page.context.close()


def test_a_busy_database_is_told_and_the_form_can_be_sent_again(impatient_tab: Page, tmp_path: Path) -> None:
    tab = impatient_tab
    tab.goto("/settings")
    tab.get_by_label("Opened").check()
    with open_database(ledgers.location(tmp_path)).writing():
        tab.get_by_role("button", name="Save").click()
        expect(tab.get_by_role("alert")).to_be_visible()
        check_accessible(tab)
        picture(tab, "busy")
    tab.get_by_role("button", name="Try again").click()
    expect(tab.get_by_role("status").first).to_contain_text("Opened: off → on")


@pytest.mark.duckdb_file
def test_a_corrupt_database_is_told_with_the_remedy(served: Served, tab: Page, tmp_path: Path) -> None:
    (tmp_path / "writebacks.duckdb").write_bytes(b"no database" * 1000)
    for path in ("/settings", "/settings/send", "/settings/history"):
        answer = tab.goto(path)
        assert answer is not None
        assert answer.status == 503
        expect(tab.get_by_role("alert")).to_contain_text("put the last backup in its place")
        assert "Traceback" not in tab.content()
    check_accessible(tab)
