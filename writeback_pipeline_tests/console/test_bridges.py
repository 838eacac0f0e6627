"""The console of several bridges: each below its own address, one sign-in for all, no trouble of one in another's."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Mount, Route

from writeback_pipeline.bridges_toml import RESERVED
from writeback_pipeline.console import asking
from writeback_pipeline.console.app import create_app_of
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline_tests.browser import NARROW, check_accessible, open_page, picture
from writeback_pipeline_tests.console.serving import (
    START,
    Client,
    Served,
    local_access,
    ports_over,
    serving_bridges,
    with_accounts,
)
from writeback_pipeline_tests.console.test_settings_page import form
from writeback_pipeline_tests.intake.files import CONTACT
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

NAMES = ("north", "south-east", "west")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy is none that does not answer."""
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def bridges(tmp_path: Path) -> Iterator[dict[str, Served]]:
    with serving_bridges({name: tmp_path / name for name in NAMES}, local_access()) as running:
        yield running


def root_of(served: Served) -> str:
    return served.address.rpartition("/")[0]


def queue(served: Served) -> None:
    change = Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, CONTACT, START - timedelta(minutes=7))
    served.store.enqueue([change], START - timedelta(minutes=5))


def break_database(served: Served, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / name / "writebacks.duckdb").write_bytes(b"not a database " * 1_000)


@pytest.mark.duckdb_file
def test_the_first_page_tells_how_each_bridge_is(bridges: dict[str, Served], tmp_path: Path) -> None:
    queue(bridges["north"])
    break_database(bridges["west"], tmp_path, "west")
    page = Client(root_of(bridges["north"])).get("/")
    assert page.status_code == 200
    assert '<a href="/north/">north</a>' in page.text
    assert "1 opt-outs wait, the oldest for 5 min" in page.text
    assert "nothing waits" in page.text
    assert "west/writebacks.duckdb cannot be used." in page.text


def test_every_page_is_about_its_bridge_and_leads_to_no_other(bridges: dict[str, Served]) -> None:
    queue(bridges["north"])
    north, south = (Client(bridges[name].address) for name in ("north", "south-east"))
    for path in ("/", "/writebacks", "/writebacks/1", "/settings", "/settings/history", "/settings/send", "/people"):
        page = north.get(path)
        assert page.status_code == 200, path
        links = [each.partition('"')[0] for each in page.text.replace('action="', 'href="').split('href="')[1:]]
        ours = ("/north/", "/static/", "#", "http://dagster.example")
        assert not [each for each in links if not each.startswith(ours) and each not in _SWITCH], path
    assert CONTACT in north.get("/writebacks").text
    assert CONTACT not in south.get("/writebacks").text
    assert south.get("/writebacks/1").status_code == 404


_SWITCH = {"/", *(f"/{name}{section}" for name in NAMES for section in ("/", "/writebacks", "/settings"))}


def test_what_is_changed_is_changed_for_the_bridge_shown_only(bridges: dict[str, Served]) -> None:
    north = Client(bridges["north"].address)
    answer = north.post("/settings", form(frequency="daily"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/north/settings")
    assert bridges["north"].store.settings().frequency == "daily"
    assert bridges["south-east"].store.settings().frequency == "manual"
    assert bridges["south-east"].store.settings_history() == []


def test_who_signed_in_for_one_bridge_is_in_for_all(tmp_path: Path) -> None:
    with serving_bridges({name: tmp_path / name for name in NAMES}, with_accounts()) as running:
        root = root_of(running["north"])
        client = Client(root)
        first = client.get("/north/writebacks?status=failed")
        assert first.headers["location"] == "/sign-in?next=%2Fnorth%2Fwritebacks%3Fstatus%3Dfailed"
        assert client.get("/").headers["location"] == "/sign-in?next=%2F"
        assert client.sign_in().status_code == 303
        for name in NAMES:
            assert client.get(f"/{name}/settings").status_code == 200
        assert client.get("/").status_code == 200


@pytest.mark.duckdb_file
def test_a_bridge_whose_database_cannot_be_used_says_so_and_the_others_answer(
    bridges: dict[str, Served], tmp_path: Path
) -> None:
    break_database(bridges["west"], tmp_path, "west")
    broken = Client(bridges["west"].address).get("/")
    assert broken.status_code == 503
    assert "west/writebacks.duckdb cannot be used." in broken.text
    assert '<a href="/north/"' in broken.text, "the way to the others"
    assert Client(bridges["north"].address).get("/").status_code == 200


def test_a_bridge_that_does_not_answer_takes_no_other_ones_threads(
    bridges: dict[str, Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 2.0)
    released = threading.Event()
    stuck = bridges["west"]
    monkeypatch.setattr(type(stuck.store), "overview", _waiting_for(released, stuck, type(stuck.store).overview))
    monkeypatch.setattr(type(stuck.store), "measures", _waiting_for(released, stuck, type(stuck.store).measures))
    callers = [threading.Thread(target=_call, args=(stuck,)) for _ in range(45)]  # more than there are threads for all
    try:
        for each in callers:
            each.start()
        assert Client(bridges["north"].address).get("/").status_code == 200
        root = Client(root_of(stuck))
        assert "its database did not answer within 2 seconds" in root.get("/").text
        assert 'writebacks_up{bridge="west"} 0.0' in root.get("/metrics").text
    finally:
        released.set()
        for each in callers:
            each.join()


def _call(served: Served) -> None:
    with suppress(requests.RequestException):  # nobody waits for the answer
        Client(served.address).get("/")


def _waiting_for(released: threading.Event, stuck: Served, method: object) -> object:
    def waiting(self: object, *given: object) -> object:
        if self is stuck.store:
            released.wait(2 * PATIENCE_SECONDS)
        return method(self, *given)  # type: ignore[operator]

    return waiting


@pytest.mark.duckdb_file
def test_metrics_name_the_bridge_and_one_that_is_down(bridges: dict[str, Served], tmp_path: Path) -> None:
    queue(bridges["north"])
    break_database(bridges["west"], tmp_path, "west")
    answer = Client(root_of(bridges["north"])).get("/metrics")
    assert answer.status_code == 200
    samples = {
        (sample.name, sample.labels["bridge"], sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["writebacks_up", "north", None] == 1
    assert samples["writebacks_up", "west", None] == 0
    assert samples["writebacks_owed", "north", "pending"] == 1
    assert samples["writebacks_oldest_opt_out_age_seconds", "north", None] == 300
    assert samples["writebacks_oldest_opt_out_age_seconds", "south-east", None] == 0
    assert ("writebacks_oldest_opt_out_age_seconds", "west", None) not in samples
    assert answer.text.count("# TYPE writebacks_owed ") == 1


def test_no_bridge_can_have_the_name_of_an_address_of_the_consoles(tmp_path: Path) -> None:
    ports = {name: ports_over(tmp_path / name)[1] for name in NAMES}
    app = create_app_of(ports, local_access())
    taken = {route.path.split("/")[1] for route in app.routes if isinstance(route, Route | Mount)}
    assert taken == {"", *RESERVED, *NAMES}


@pytest.mark.parametrize("size", [(1280, 900), NARROW], ids=["wide", "narrow"])
def test_the_switch_is_reached_by_keyboard_and_keeps_the_kind_of_page(
    bridges: dict[str, Served], browser: Browser, size: tuple[int, int]
) -> None:
    queue(bridges["south-east"])
    page = open_page(browser, size=size)
    page.goto(f"{bridges['north'].address}/writebacks?status=pending")
    switch = page.locator("details.switch > summary")
    expect(switch).to_have_text("Bridge: north")
    switch.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="south-east")).to_be_visible()
    expect(page.get_by_role("link", name="north", exact=True)).to_have_attribute("aria-current", "true")
    check_accessible(page)
    picture(page, f"bridges-switch-{size[0]}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="south-east")).to_be_hidden()
    expect(switch).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{bridges['south-east'].address}/writebacks")
    expect(page).to_have_title("Writeback List · south-east · Writebacks")
    expect(page.get_by_role("link", name="Unsubscribe 1")).to_be_visible()


@pytest.mark.duckdb_file
def test_all_bridges_at_a_glance_in_a_browser(bridges: dict[str, Served], browser: Browser, tmp_path: Path) -> None:
    break_database(bridges["west"], tmp_path, "west")
    page = open_page(browser, size=NARROW)
    page.goto(f"{root_of(bridges['north'])}/")
    expect(page.get_by_text("needs a person")).to_be_visible()
    check_accessible(page)
    page.get_by_role("cell", name="north").get_by_role("link").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
