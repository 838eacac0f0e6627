"""Everything together, as `make dev` starts it: webserver, daemon, console, organisation; a browser looks at it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, FlagResult, Kind, Status
from writeback_pipeline.intake.changes import read_changes
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.browser import open_browser, open_page, picture
from writeback_pipeline_tests.mailings import DAY, Mailings
from writeback_pipeline_tests.patience import wait_until
from writeback_pipeline_tests.world import START

PROJECT = Path(__file__).parents[2]
LONGEST = 500.0

pytestmark = pytest.mark.timeout(1_200)  # everything at once, on whatever machine


@dataclass
class Running:
    """What `make dev` started."""

    process: "subprocess.Popen[str]"
    address: str
    console: str
    home: Path
    log: Path


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    log = home / "dev.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
    variables = kept | ledgers.variables(home) | {"WRITEBACK_POLL_SECONDS": "5"}
    with log.open("w") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"trap '' INT; exec {sys.executable} -m writeback_pipeline.commands.dev"],
            cwd=PROJECT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:  # as from a script's background, where Ctrl-C would be ignored
        address = said(log, r"Dagster +(http://\S+)")[1]
        console = said(log, r"Console +(http://\S+)")[1]
        said(log, r"Serving dagster-webserver")
        yield Running(process, address, console, home, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(LONGEST)


def said(log: Path, pattern: str) -> re.Match[str]:
    """Wait until the log says it."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text()):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{pattern!r} was not said:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def delivered(dev: Running) -> Running:
    """The sample is queued and the sensor, by itself, has had it delivered."""
    changes, _ = read_changes(PROJECT / "data" / "sample" / "opt_outs.csv", START)
    store = ledgers.store_of(dev.home)
    store.enqueue(changes, START)
    wait_until(lambda: not store.depth().owed, LONGEST)
    said(dev.log, r"RUN_SUCCESS")
    return dev


@pytest.fixture
def page() -> Iterator[Page]:
    with open_browser() as browser:
        page = open_page(browser, size=(1400, 1000))
        yield page


def look(page: Page, dev: Running, path: str, name: str) -> None:
    page.goto(dev.address + path)
    page.wait_for_load_state("networkidle")
    picture(page, name)


def test_the_sensor_delivers_what_is_queued_by_itself(delivered: Running) -> None:
    store = ledgers.store_of(delivered.home)
    written = store.count(WritebackFilter(kinds=OPT_OUT_KINDS, statuses=(Status.WRITTEN,)))
    assert written > 1_000


def test_an_asset_page_says_what_it_is_whose_it_is_and_what_happened(delivered: Running, page: Page) -> None:
    look(page, delivered, "/assets/opt_out_writebacks", "asset")
    expect(page.get_by_text("the Email Opt Out flag and a Note on each person")).to_be_visible()
    expect(page.get_by_text("email-platform")).to_be_visible()
    expect(page.get_by_text("opt_outs", exact=True).first).to_be_visible()
    expect(page.get_by_text("api_calls_per_1000_writebacks").first).to_be_attached()
    expect(page.get_by_text("needs_attention").first).to_be_attached()


def test_the_checks_show_what_needs_a_person(delivered: Running, page: Page) -> None:
    look(page, delivered, "/assets/opt_out_writebacks?view=checks&checkDetail=nothing_failed", "checks")
    expect(page.get_by_text("opt-outs need a person").first).to_be_visible()
    look(page, delivered, "/assets/daily_sent_writebacks?view=partitions", "partitions")
    expect(page.get_by_text("daily_sent_writebacks").first).to_be_visible()


def test_the_schedules_and_the_sensor_are_on(delivered: Running, page: Page) -> None:
    look(page, delivered, "/automation", "automation")
    expect(page.get_by_text("opt_out_queue_sensor")).to_be_visible()
    expect(page.get_by_text("daily_delivery_of_daily_activity")).to_be_visible()


def test_a_person_leads_from_the_console_to_the_record_that_salesforce_has(delivered: Running, page: Page) -> None:
    ticked = (
        row
        for row in ledgers.store_of(delivered.home).writebacks(WritebackFilter(statuses=(Status.WRITTEN,)))
        if row.kind is Kind.UNSUBSCRIBE and row.flag_result is FlagResult.SET
    )
    page.goto(delivered.console)
    expect(page.get_by_text(re.compile("opt_out_queue_sensor, .* ago"))).to_be_visible()
    expect(page.locator("img.chart").first).to_be_visible()
    picture(page, "overview-of-the-sample")
    page.get_by_label("Find a person").fill(next(ticked).salesforce_id or "")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Look in Salesforce now").click()
    expect(page.get_by_text("Email Opt Out is ticked.")).to_be_visible()
    page.get_by_role("link", name="Open the record").click()
    expect(page.get_by_label("Email Opt Out")).to_be_checked()
    expect(page.get_by_role("article", name="unsubscribed from Informz on").first).to_be_visible()


def test_activity_is_sent_from_the_console_by_runs_that_it_follows(delivered: Running, page: Page) -> None:
    person = "003wb000000CcWNAA0"
    Mailings(delivered.home / "mailing_activity").sent(person)
    page.goto(f"{delivered.console}/settings/send")
    page.get_by_label("First window").fill(DAY)
    page.get_by_label("Last window").fill(DAY)
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Send this window").click()
    expect(page.get_by_role("status").first).to_contain_text(f"A run is on the way: daily sent, {DAY}.")
    expect(page.locator("#recent .status-success")).to_have_count(1, timeout=1_000 * LONGEST)
    picture(page, "sent-from-the-console")
    run = page.get_by_role("link", name=f"{DAY} in Dagster").get_attribute("href")
    assert run is not None
    assert run.startswith(f"{delivered.address}/runs/")
    (row,) = ledgers.store_of(delivered.home).writebacks(WritebackFilter(kinds=(Kind.SENT,)))
    assert (row.status, row.run_id) == (Status.WRITTEN, run.rpartition("/")[2])
    page.goto(run)
    expect(page.get_by_text("deliver_daily_activity").first).to_be_visible()


def test_nothing_is_deprecated_and_nothing_crashed(delivered: Running) -> None:
    text = delivered.log.read_text()
    assert "Traceback" not in text
    assert not re.search(r"\w*(Deprecat|Supersess|Beta|Preview)\w*Warning", text)


def test_ctrl_c_leaves_no_process_behind(delivered: Running) -> None:
    delivered.process.send_signal(signal.SIGINT)
    assert delivered.process.wait(LONGEST) == 0
    with suppress(AssertionError):  # who was killed may take a moment to be gone
        wait_until(lambda: not left_behind(delivered.home), 10)
    assert left_behind(delivered.home) == []


def left_behind(home: Path) -> list[bytes]:
    """The commands that run for that home."""
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "environ").exists():
            try:
                environment = (entry / "environ").read_bytes()
                if f"WRITEBACK_HOME={home}\0".encode() in environment:
                    left.append((entry / "cmdline").read_bytes().replace(b"\0", b" "))
            except OSError:
                continue
    return left
