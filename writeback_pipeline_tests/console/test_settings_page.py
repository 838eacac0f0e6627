"""Writeback Settings over HTTP: what it shows, what it saves, and what it refuses."""

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from writeback_pipeline.domain.settings import WritebackSettings, as_mapping, setting_text
from writeback_pipeline_tests.console.serving import START, VIEWER, Client, Served

DEFAULTS = {
    name: setting_text(value)
    for name, value in as_mapping(WritebackSettings()).items()
    if name != "suppress_opt_out_flag"
}


def form(**changed: str | None) -> dict[str, Any]:
    """The form as a browser sends it: boxes that are not ticked are left out."""
    fields = DEFAULTS | {"version": "0"} | changed
    return {name: text for name, text in fields.items() if text not in (None, "false")}


def text(answer: requests.Response) -> str:
    """What a reader sees."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def test_the_page_shows_the_defaults_and_that_opt_outs_are_always_on(client: Client) -> None:
    page = client.get("/settings")
    assert 'id="activity_enabled" name="activity_enabled" value="true" checked' in page.text
    assert 'id="sent" name="sent" value="true" checked' in page.text
    assert 'id="opened" name="opened" value="true" ' in page.text
    assert 'value="daily" checked' in page.text
    assert 'value="manual" checked' in page.text
    told = text(page)
    assert "Admin Setup Bridge Configuration Writeback Settings" in told
    assert "Unsubscribe Always on" in told
    assert "Resubscribe Always on" in told
    assert "writebacks settings set suppress_opt_out_flag=true" in told
    assert 'name="suppress_opt_out_flag"' not in page.text


def test_saving_tells_what_changed_and_when_it_takes_effect(served: Served, client: Client) -> None:
    saved = client.post("/settings", form(frequency="daily", opened="true", time_zone="America/New_York"))
    assert (saved.status_code, saved.headers["location"]) == (303, "/settings")
    told = text(client.get("/settings"))
    assert "Saved. Opened: off → on Frequency: Manual → Daily Time zone: UTC → America/New_York" in told
    assert "The next delivery is due Tue 24 Nov 2026, 00:20 EST." in told  # 05:20 in UTC, as the schedules were loaded
    assert "The schedules go on ticking in UTC until Dagster's daemon is started again." in told
    assert {(each.name, each.by) for each in served.store.settings_history()} == {
        ("opened", "tester"),
        ("frequency", "tester"),
        ("time_zone", "tester"),
    }
    assert "Saved." not in text(client.get("/settings"))


def test_a_box_that_is_not_ticked_is_off(served: Served, client: Client) -> None:
    client.post("/settings", form(activity_enabled=None, sent=None))
    settings = served.store.settings()
    assert (settings.activity_enabled, settings.sent) == (False, False)
    assert "Nothing is delivered while mailing activity writeback is off." in text(client.get("/settings"))


def test_saving_what_is_so_already_changes_nothing(served: Served, client: Client) -> None:
    client.post("/settings", form())
    assert "Nothing was changed" in text(client.get("/settings"))
    assert served.store.settings_history() == []


def test_each_wrong_value_is_told_beside_its_field_and_nothing_is_saved(served: Served, client: Client) -> None:
    answer = client.post("/settings", form(time_zone="Mars/Base", bulk_threshold="0", platform_name=" ", sent=None))
    assert answer.status_code == 422
    assert 'id="time_zone" name="time_zone" value="Mars/Base" aria-invalid="true"' in answer.text
    assert re.search(r'id="time_zone-problem">Takes an IANA time zone .*, not &#39;Mars/Base&#39;', answer.text)
    assert 'id="bulk_threshold-problem">Takes a whole number of rows' in answer.text
    assert 'id="platform_name-problem">' in answer.text
    assert re.search(r"<details[^>]* open>", answer.text)
    assert 'id="sent" name="sent" value="true" ' in answer.text
    assert served.store.settings() == WritebackSettings()


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("unsubscribe_enabled", "unsubscribe and resubscribe cannot be turned off"),
        ("resubscribe", "unsubscribe and resubscribe cannot be turned off"),
        ("suppress_opt_out_flag", "by the command line, not here"),
        ("colour", "is not a setting"),
    ],
)
def test_what_the_page_has_no_control_for_is_rejected_not_ignored(
    served: Served, client: Client, field: str, says: str
) -> None:
    answer = client.post("/settings", form(opened="true") | {field: "true"})
    assert answer.status_code == 422
    assert says in text(answer).replace("Unsubscribe", "unsubscribe")
    assert served.store.settings_history() == []


def test_the_second_of_two_savers_is_told_and_their_input_is_kept(served: Served, client: Client) -> None:
    served.store.change_settings({"frequency": "hourly", "opened": "true"}, "olga", START)
    answer = client.post("/settings", form(frequency="weekly", platform_name="Acme"))
    assert answer.status_code == 409
    told = text(answer)
    assert "Not saved: olga changed the settings meanwhile." in told
    assert "Frequency: Manual → Hourly, by olga — you changed this too" in told
    assert "Opened: off → on, by olga" in told
    assert 'name="frequency" value="weekly" checked' in answer.text
    assert 'name="platform_name" value="Acme"' in answer.text
    assert 'name="opened" value="true" checked' in answer.text  # theirs: nobody meant to take it back
    assert served.store.settings().platform_name == "Informz"
    assert 'name="version" value="2"' in answer.text
    again = client.post("/settings", form(frequency="weekly", platform_name="Acme", opened="true", version="2"))
    assert again.status_code == 303
    assert served.store.settings().frequency == "weekly"


@pytest.mark.parametrize("version", [None, "", "-1", "x", "²"])
def test_a_form_without_a_version_overwrites_nobody(served: Served, client: Client, version: str | None) -> None:
    served.store.change_settings({"frequency": "hourly"}, "olga", START)
    assert client.post("/settings", form(version=version)).status_code == 409
    assert served.store.settings().frequency == "hourly"


def test_a_stored_value_that_is_not_allowed_is_shown_and_can_be_put_right(served: Served, client: Client) -> None:
    with served.store._database.writing() as session:
        session.execute("UPDATE settings SET value = 'yearly' WHERE name = 'frequency'")
    page = client.get("/settings")
    assert page.status_code == 200
    assert "A stored value is not allowed" in text(page)
    assert client.post("/settings", form(frequency="daily")).status_code == 303
    assert served.store.settings().frequency == "daily"


def test_the_history_names_everybody_and_is_shown_whole_on_its_own_page(served: Served, client: Client) -> None:
    for number in range(20):
        by, at = f"user {number}", datetime(2026, 11, 1, number, tzinfo=UTC)
        served.store.change_settings({"bulk_threshold": str(100 + number)}, by, at)
    page, whole = text(client.get("/settings")), text(client.get("/settings/history"))
    assert "user 19" in page
    assert "user 5 " not in page
    assert "All 20 changes" in page
    assert all(f"user {number} " in whole for number in range(20))
    assert whole.index("user 19") < whole.index("user 0 ")


def test_a_viewer_sees_everything_and_changes_nothing(guarded: Served) -> None:
    viewer = Client(guarded.address)
    viewer.sign_in(VIEWER)
    page = viewer.get("/settings")
    assert "An operator can change them." in text(page)
    assert ">Save<" not in page.text
    answer = viewer.post("/settings", form(opened="true"))
    assert answer.status_code == 403
    assert guarded.store.settings_history() == []


def test_looking_changes_nothing(served: Served, client: Client) -> None:
    for path in ("/settings", "/settings?opened=true&frequency=daily&version=0", "/settings/history", "/sign-out"):
        client.get(path)
    assert served.store.settings_history() == []
    assert served.store.settings() == WritebackSettings()
