"""The Writeback List in a real browser: main path, keyboard, narrow and dark screens, hostile texts, live updates."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline_tests.browser import NARROW, check_accessible, open_browser, open_page, picture
from writeback_pipeline_tests.console.listed import fail, queue, rows
from writeback_pipeline_tests.console.serving import START, Served
from writeback_pipeline_tests.console.test_settings_in_the_browser import sign_in
from writeback_pipeline_tests.contracts.story import claim_one, contact, lead, written

HOSTILE = '"><img src=x onerror=alert(1)>\u202egnorts\u2066' + "W" * 400
ADVICE = "The record is in the recycle bin: undelete it or its master in Salesforce, then retry."


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def filled(served: Served) -> Served:
    """Some of everything, with texts that want to be more than texts."""
    store = served.store
    queue(store, [contact(n) for n in range(60)], reason="Too many e-mails", email="zoe@newsletter.example")
    for _ in range(50):
        written(store, claim_one(store, START))
    fail(store, "ENTITY_IS_DELETED", ADVICE)
    queue(store, [lead(n) for n in range(3)], reason=HOSTILE, email=HOSTILE)
    fail(store, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Satisfy the rule, then retry.", error_message=HOSTILE)
    queue(store, [lead(9)])
    fail(store, "UNABLE_TO_LOCK_ROW", "It is tried again by itself.", status=Status.WAITING)
    return served


def no_dialog(page: Page) -> None:
    page.on("dialog", lambda _: pytest.fail("a text of somebody's ran as a script"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [(1280, 900), NARROW])
def test_every_page_is_accessible_and_hostile_texts_stay_texts(
    browser: Browser, filled: Served, size: tuple[int, int], dark: bool
) -> None:
    page = open_page(browser, size=size, dark=dark, address=filled.address)
    no_dialog(page)
    failed = next(row for row in rows(filled.store) if row.error_message == HOSTILE)
    look = f"{'dark' if dark else 'light'}-{size[0]}"
    for name, path in {
        "list": "/writebacks",
        "filter": "/writebacks?kind=unsubscribe&object=Lead&text=img",
        "nothing": "/writebacks?status=written&text=nobody",
        "row": f"/writebacks/{failed.id}",
        "retry": "/writebacks/retry?status=failed",
        "refused": "/writebacks?from=yesterday",
    }.items():
        page.goto(path)
        check_accessible(page)
        picture(page, f"writeback-{name}-{look}")
    page.context.close()


def test_a_failed_writeback_is_found_understood_and_retried_by_mouse(browser: Browser, filled: Served) -> None:
    page = open_page(browser, address=filled.address)
    page.goto("/writebacks")
    group = page.locator("li.error", has_text="ENTITY_IS_DELETED")
    expect(group).to_contain_text(ADVICE)
    group.get_by_role("link", name="Retry all 10").click()
    dialog = page.get_by_role("dialog", name="Retry 10 writebacks?")
    check_accessible(page)
    picture(page, "writeback-retry-dialog")
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(group.get_by_role("link", name="Retry all 10")).to_be_focused()
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Retry 10 writebacks").click()
    expect(page.get_by_role("status").first).to_contain_text("10 writebacks were put back to pending")
    assert sum(row.status is Status.PENDING for row in rows(filled.store)) == 10
    page.context.close()


def test_the_keyboard_alone_filters_opens_and_retries(browser: Browser, filled: Served) -> None:
    page = open_page(browser, address=filled.address)
    page.goto("/writebacks")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    press_until(page, "text")
    page.keyboard.type("entity_is_deleted")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Remove the filter Search: entity_is_deleted")).to_be_visible()
    boxes = page.locator("input[id^=row-]")
    first, second = (boxes.nth(n).get_attribute("id") or "" for n in range(2))
    for box in (first, second):
        press_until(page, box)
        page.keyboard.press("Space")
    press_until(page, "retry-chosen")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Retry 2 writebacks?")).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == "Retry 2 writebacks":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("2 writebacks were put back to pending")
    page.context.close()


def press_until(page: Page, id_: str) -> None:
    """Go on with the tabulator until that element has the focus."""
    for _ in range(150):
        if page.evaluate("document.activeElement.id") == id_:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"the keyboard does not reach #{id_}")


def test_everything_works_without_script(browser: Browser, filled: Served) -> None:
    page = open_page(browser, script=False, address=filled.address)
    page.goto("/writebacks?status=failed")
    expect(page.get_by_text("Choose all on this page")).to_be_hidden()
    for n in range(2):
        page.locator("input[id^=row-]").nth(n).check()
    page.get_by_role("button", name="Retry the chosen").click()
    page.get_by_role("button", name="Retry 2 writebacks").click()
    expect(page.get_by_role("status").first).to_contain_text("2 writebacks were put back to pending")
    page.get_by_role("button", name="Retry", exact=False).and_(page.locator("[id^=retry-]")).first.click()
    expect(page.get_by_role("status").first).to_contain_text("The writeback was put back to pending")
    page.context.close()


def test_the_list_follows_a_delivery_and_keeps_choice_and_focus(browser: Browser, filled: Served) -> None:
    queue(filled.store, [contact(n) for n in range(100, 104)])
    page = open_page(browser, address=filled.address)
    page.goto("/writebacks?text=newsletter")
    page.goto("/writebacks")
    chosen = page.locator("input[id^=row-]").first
    chosen.check()
    id_ = chosen.get_attribute("id") or ""
    chosen.focus()
    expect(page.locator("#tab-pending")).to_contain_text("4")
    for _ in range(4):
        written(filled.store, claim_one(filled.store, START))
    expect(page.locator("#tab-written")).to_contain_text("54")
    expect(page.locator("#tab-pending")).to_have_count(0)
    expect(page.locator("#told")).to_have_text("0 pending, 0 sending, 54 written, 13 failed")
    expect(page.locator(f"#{id_}")).to_be_checked()
    expect(page.locator(f"#{id_}")).to_be_focused()
    expect(page.locator("[data-live]")).to_have_count(0)  # nothing is under way any more
    page.context.close()


def test_choosing_all_chooses_the_rows_of_the_page(browser: Browser, filled: Served) -> None:
    page = open_page(browser, address=filled.address)
    page.goto("/writebacks?status=failed")
    page.get_by_label("Choose all on this page").check()
    page.get_by_role("button", name="Retry the chosen").click()
    expect(page.get_by_role("heading", name="Retry 13 writebacks?")).to_be_visible()
    page.context.close()


def test_a_session_that_ends_before_a_retry_loses_nothing(browser: Browser, guarded: Served) -> None:
    queue(guarded.store, [contact(1)])
    fail(guarded.store, "ENTITY_IS_DELETED", ADVICE)
    page = open_page(browser, address=guarded.address)
    page.goto("/writebacks?status=failed")
    sign_in(page)
    retry = page.locator("button[id^=retry-]").first
    expect(retry).to_be_visible()
    guarded.clock.forward(timedelta(days=2))
    retry.click()
    sign_in(page)
    page.get_by_role("button", name="Send it now").click()
    expect(page.get_by_role("status").first).to_contain_text("The writeback was put back to pending")
    page.context.close()


@pytest.mark.duckdb_file
def test_a_database_that_fails_is_told_and_the_list_comes_back_by_itself(
    browser: Browser, filled: Served, tmp_path: Path
) -> None:
    page = open_page(browser, address=filled.address)
    queue(filled.store, [contact(200)])
    page.goto("/writebacks")
    database, away, spoilt = (tmp_path / name for name in ("writebacks.duckdb", "away", "spoilt"))
    spoilt.write_bytes(b"no database" * 1000)
    with page.expect_response(lambda answer: answer.status == 503):
        away.hardlink_to(database)
        spoilt.replace(database)  # at no moment is there none: whoever looked would make one
    expect(page.locator("#list")).to_be_visible()
    page.goto("/writebacks?status=failed")
    expect(page.get_by_role("heading", name="Not possible now")).to_be_visible()
    check_accessible(page)
    away.replace(database)
    page.get_by_role("link", name="Try again").click()
    expect(page.locator("#list")).to_be_visible()
    page.context.close()
