"""Sending windows by hand: the preview is what the command line's dry run says, and each window becomes a run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from writeback_pipeline.cli import main
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.console.serving import START, VIEWER, Client, Served
from writeback_pipeline_tests.console.test_settings_page import text
from writeback_pipeline_tests.console.test_sign_in import fields
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

PERSON = "003wb000000CcWNAA0"
FORM: dict[str, Any] = {"occurrence": "daily", "from": "2026-11-20", "to": "2026-11-22", "kind": ["sent", "opened"]}
QUERY = "/settings/send?occurrence=daily&from=2026-11-20&to=2026-11-22&kind=sent&kind=opened"


def mail(served: Served) -> None:
    for day in (20, 21):
        served.mailings.add(
            served.mailings.event("sent", PERSON, "11-20 09:05") | {"occurred_at": START.replace(day=day)}
        )
    served.mailings.add(served.mailings.event("sent", None, "11-20 09:05") | {"occurred_at": START.replace(day=20)})


def test_the_form_begins_with_the_last_closed_window_and_the_settings(served: Served, client: Client) -> None:
    served.store.change_settings({"occurrence": "weekly", "opened": "true"}, "olga", START)
    page = client.get("/settings/send").text
    assert 'value="weekly" checked' in page
    assert 'id="from" name="from" value="2026-11-16"' in page
    assert 'name="kind" value="opened" checked' in page
    assert "Nothing was sent from here yet." in page


def test_the_preview_says_what_the_command_line_s_dry_run_says(served: Served, client: Client, tmp_path: Path) -> None:
    mail(served)
    arguments = "run activity --from 2026-11-20 --to 2026-11-22 --kind sent --kind opened --dry-run --format json"
    dry_run = CliRunner().invoke(
        main,
        arguments.split(),
        env={**ledgers.variables(tmp_path), "SALESFORCE_URL": None},
    )
    rows = re.findall(r"<tr>(.*?)</tr>", client.get(QUERY).text, re.DOTALL)[1:7]
    shown = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows]
    columns = ("window", "kind", "events", "people", "tasks", "unchanged", "no_recipient", "api_calls")
    assert shown == [
        [str(line[name]).capitalize() if name == "kind" else str(line[name]) for name in columns]
        for line in json.loads(dry_run.stdout)
    ]
    assert shown[0] == ["2026-11-20", "Sent", "2", "1", "1", "0", "1", "1"]
    assert served.runs.launched == []


def test_each_window_becomes_a_run_of_the_chosen_assets_with_the_user_s_name(served: Served, client: Client) -> None:
    mail(served)
    answer = client.post("/settings/send", fields(client.get(QUERY).text) | FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings/send")
    launched = served.runs.launched
    assert [(each.job, each.partition) for each in launched] == [
        ("deliver_daily_activity", f"2026-11-{day}") for day in (20, 21, 22)
    ]
    assert launched[0].assets == ("daily_sent_writebacks", "daily_opened_writebacks")
    assert launched[0].tags["writebacks/asked_by"] == "tester"
    page = client.get("/settings/send")
    assert "3 runs are on the way: daily sent and opened, 2026-11-20 to 2026-11-22." in text(page)
    assert 'href="http://dagster.example/runs/run-1"' in page.text
    assert 'data-live="2"' in page.text
    (action,) = served.store.latest_actions("send", 5)
    assert action.asked.by == "tester"


def test_a_weekly_window_is_the_partition_of_its_week(served: Served, client: Client) -> None:
    served.store.change_settings({"week_starts_on": "wednesday"}, "olga", START)
    week = {"occurrence": "weekly", "from": "2026-11-18", "to": "", "kind": "sent"}
    assert client.post("/settings/send", week).status_code == 303
    (launch,) = served.runs.launched
    assert (launch.job, launch.partition, launch.assets) == (
        "deliver_weekly_activity",
        "2026-11-16",
        ("weekly_sent_writebacks",),
    )


def test_a_form_that_comes_twice_starts_its_runs_once(served: Served, client: Client) -> None:
    form = FORM | {"sending": "abc"}
    client.post("/settings/send", form)
    client.post("/settings/send", form)
    assert len(served.runs.launched) == 3
    assert "This was sent already" in text(client.get("/settings/send"))


def test_when_dagster_is_away_the_page_says_so_with_the_remedy(served: Served, client: Client) -> None:
    served.runs.trouble = "Dagster cannot be reached at http://x. Start its webserver."
    answer = client.post("/settings/send", FORM)
    assert answer.status_code == 502
    assert "Start its webserver." in text(answer)
    assert 'value="2026-11-20"' in answer.text
    page = client.get("/settings/send")
    assert (page.status_code, "How the runs stand is not known." in text(page)) == (200, True)


def test_when_dagster_goes_in_between_the_page_says_how_far_it_came(served: Served, client: Client) -> None:
    served.runs.limit = 2
    answer = client.post("/settings/send", FORM)
    assert "2 of 3 runs were started. Dagster is gone: start it." in text(answer)


def test_the_page_updates_itself_only_while_a_run_is_under_way(served: Served, client: Client) -> None:
    client.post("/settings/send", FORM)
    served.runs.runs = [type(run)(run.id, "success", run.tags) for run in served.runs.runs]
    page = client.get("/settings/send")
    assert "data-live" not in page.text
    assert page.text.count("status-success") == 3


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"from": "2026-11-23", "to": "2026-11-20"}, "The range ends before it begins"),
        ({"from": "yesterday"}, "names no window"),
        ({"from": "2026-12-24", "to": "2026-12-24"}, "has not begun"),
        ({"from": "2024-01-01", "to": "2024-01-01"}, "is too early"),
        ({"from": "2026-01-01"}, "35 can be sent at once"),
        ({"from": "2025-01-06", "to": "9999-12-30"}, "has not begun"),
        ({"kind": []}, "Choose Sent, Opened or both"),
        ({"kind": ["unsubscribe"]}, "Choose Sent, Opened or both"),
        ({"occurrence": "yearly"}, "Choose daily or weekly windows"),
        ({"occurrence": "weekly"}, "names no weekly window"),
    ],
)
def test_what_cannot_be_sent_is_told_before_and_when_it_is_sent(
    served: Served, client: Client, changed: dict[str, Any], says: str
) -> None:
    asked = FORM | changed
    preview = client.session.get(served.address + "/settings/send", params=asked, timeout=PATIENCE_SECONDS)
    sent = client.post("/settings/send", asked)
    for answer in (preview, sent):
        assert answer.status_code == 422
        assert says in text(answer)
    assert served.runs.launched == []
    assert served.store.latest_actions("send", 5) == []


def test_nothing_is_sent_while_activity_is_off(served: Served, client: Client) -> None:
    served.store.change_settings({"activity_enabled": "false"}, "olga", START)
    assert "Mailing activity writeback is off: enable it" in text(client.post("/settings/send", FORM))
    assert served.runs.launched == []


def test_what_is_written_already_need_not_be_sent(client: Client) -> None:
    page = client.get(QUERY)
    assert "there is nothing to send" in text(page)
    assert "Send these" not in page.text


def test_a_viewer_sees_the_preview_and_sends_nothing(guarded: Served) -> None:
    mail(guarded)
    viewer = Client(guarded.address)
    viewer.sign_in(VIEWER)
    page = viewer.get(QUERY)
    assert "An operator can send it." in text(page)
    assert viewer.post("/settings/send", FORM).status_code == 403
    assert guarded.runs.launched == []
