"""A real browser for tests: Chromium as the system has it, what axe-core says of a page, and a picture to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from writeback_pipeline_tests.patience import PATIENCE_SECONDS

_ERRORS: WeakKeyDictionary[Page, list[str]] = WeakKeyDictionary()
SCREENSHOTS = Path(__file__).parents[1] / "test-output"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDE = (1280, 900)
NARROW = (375, 740)
_PATIENCE = 1_000 * PATIENCE_SECONDS


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium. Keep it no longer than a module: Playwright leaves an event loop running in the thread."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS, timeout=_PATIENCE)
        yield browser
        browser.close()


def open_page(
    browser: Browser,
    *,
    size: tuple[int, int] = WIDE,
    dark: bool = False,
    script: bool = True,
    address: str | None = None,
) -> Page:
    """A tab of a browser of its own, without cookies. What its pages print as an error fails `check_accessible`."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        base_url=address,
    )
    page = context.new_page()
    errors = _ERRORS[page] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("dialog", lambda dialog: errors.append(f"a dialog: {dialog.message}"))
    page.set_default_timeout(_PATIENCE)
    return page


def check_accessible(page: Page) -> None:
    """Nothing that axe-core calls serious or critical is on the page, nothing sticks out of the screen, and nothing ran
    or was loaded that should not: the browser would have said so."""
    found = [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not found, "\n".join(found)
    assert [error for error in _ERRORS[page] if "status of" not in error] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def picture(page: Page, name: str) -> None:
    """A picture of the whole page, kept for whoever wants to look at it."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
