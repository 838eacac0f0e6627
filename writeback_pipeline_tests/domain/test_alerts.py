"""The rules of the alerts: what is an incident, how bad it is, and that each has its section in the runbook."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.alerts import RULES, Severity, Sighting, duration, look
from writeback_pipeline.domain.health import DagsterHealth, FailedRun, Heartbeat, LedgerHealth, RedCheck, heartbeat
from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.writebacks import Kind, Status

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WELL = LedgerHealth()
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def only(ledger: LedgerHealth = WELL, dagster: DagsterHealth | None = None) -> Sighting:
    (sighting,) = look(ledger, dagster, NOW)
    return sighting


def test_nothing_is_wrong_with_a_new_home() -> None:
    assert look(WELL, DagsterHealth(), NOW) == []


def test_every_rule_has_its_section_in_the_runbook_and_no_section_is_left_over() -> None:
    anchors = re.findall(r"^### ([a-z-]+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert anchors == [name.replace("_", "-") for name in RULES]


@pytest.mark.parametrize("anchor", [name.replace("_", "-") for name in RULES])
def test_every_section_says_what_to_look_at_what_to_type_and_when_it_is_over(anchor: str) -> None:
    section = RUNBOOK.read_text().split(f"\n### {anchor}\n")[1].split("\n##")[0]
    assert [section.count(f"\n- {part}: ") for part in ("Look", "Type", "Over")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("hours", "severity"),
    [(1.0, None), (1.1, Severity.WARNING), (4.1, Severity.PAGE), (24.1, Severity.RED), (999, Severity.RED)],
)
def test_an_opt_out_gets_worse_the_longer_it_waits(hours: float, severity: Severity | None) -> None:
    owed = {(Kind.UNSUBSCRIBE, Status.WAITING): 2, (Kind.SENT, Status.PENDING): 9}
    seen = look(LedgerHealth(owed, NOW - hours * HOUR), None, NOW)
    assert [each.severity for each in seen] == ([] if severity is None else [severity])
    if seen:
        assert seen[0].key == "opt_out_overdue"
        assert "oldest of 2 owed opt-outs" in seen[0].words


def test_rows_that_failed_are_counted_by_what_they_are() -> None:
    owed = {(Kind.UNSUBSCRIBE, Status.FAILED): 2, (Kind.RESUBSCRIBE, Status.FAILED): 1, (Kind.OPENED, Status.FAILED): 7}
    assert only(LedgerHealth(owed)).words == "failed: 3 opt-outs and 7 rows of activity"


@pytest.mark.parametrize(
    ("made", "severity"), [(900, None), (901, Severity.WARNING), (1000, Severity.PAGE), (1200, Severity.PAGE)]
)
def test_the_budget_warns_above_nine_tenths(made: int, severity: Severity | None) -> None:
    seen = look(LedgerHealth(calls_made=made, calls_ours=1_000), None, NOW)
    assert [each.severity for each in seen] == ([] if severity is None else [severity])


@pytest.mark.parametrize(("passing", "severity"), [(True, Severity.WARNING), (False, Severity.PAGE)])
def test_a_breaker_that_is_open_is_worse_where_waiting_does_not_help(passing: bool, severity: Severity) -> None:
    sighting = only(LedgerHealth(hold=Hold(NOW, "HTTP_503", "Down.", "Wait.", passing)))
    assert (sighting.severity, sighting.words) == (severity, "no calls are made, because HTTP_503: Down.")


def test_who_is_silent_is_an_incident_each_and_who_was_taken_down_long_ago_is_none() -> None:
    silent = Heartbeat(NOW - HOUR, NOW - timedelta(minutes=50))
    beats = {
        "a": silent,
        "b": silent,
        "c": heartbeat(NOW - timedelta(minutes=9), timedelta(seconds=30)),
        "d": Heartbeat(NOW - timedelta(days=31), NOW - timedelta(days=30)),
    }
    seen = look(LedgerHealth(heartbeats=beats), None, NOW)
    assert [(each.key, each.severity) for each in seen] == [
        ("not_ticking:a", Severity.PAGE),
        ("not_ticking:b", Severity.PAGE),
    ]


def test_a_slow_ticker_may_miss_two_of_its_ticks() -> None:
    assert heartbeat(NOW, HOUR).due_by == NOW + 3 * HOUR
    assert heartbeat(NOW, timedelta(seconds=30)).due_by == NOW + timedelta(minutes=10)


def test_a_restore_is_told_for_a_day_and_another_one_anew() -> None:
    first, second = (only(LedgerHealth(restored_at=NOW - hours * HOUR)).key for hours in (23, 1))
    assert first != second
    assert look(LedgerHealth(restored_at=NOW - 24 * HOUR), None, NOW) == []


def test_a_failed_run_is_known_by_its_job_and_window() -> None:
    runs = [
        FailedRun("deliver_opt_outs", "r1", "Salesforce is down.", passing=True),
        FailedRun("deliver_daily_activity", "r2", "", passing=False, partition="2026-11-22"),
    ]
    first, second = look(WELL, DagsterHealth(runs), NOW)
    assert (first.key, first.severity) == ("run_failed:deliver_opt_outs", Severity.WARNING)
    assert (second.key, second.severity) == ("run_failed:deliver_daily_activity 2026-11-22", Severity.PAGE)
    assert second.words == "deliver_daily_activity of 2026-11-22, run r2: its log in Dagster says why"


def test_another_organisation_is_one_incident_however_many_runs_meet_it() -> None:
    runs = [FailedRun(job, "r", "not ours", passing=False, wrong_organisation=True) for job in ("a", "b")]
    assert only(dagster=DagsterHealth(runs)).key == "wrong_organisation"


def test_a_red_check_is_told_unless_another_rule_tells_it() -> None:
    checks = [
        RedCheck("opt_out_writebacks", name, "words") for name in ("nothing_failed", "every_row_is_accounted_for")
    ]
    assert (
        only(dagster=DagsterHealth(red_checks=checks)).key
        == "check_failed:opt_out_writebacks every_row_is_accounted_for"
    )


def test_lengths_are_told_as_people_do() -> None:
    lengths = [timedelta(seconds=-5), timedelta(seconds=200), 4 * HOUR + timedelta(minutes=10), 51 * HOUR]
    assert [duration(each) for each in lengths] == ["0 min", "3 min", "4 h 10 min", "2 days 3 h"]
