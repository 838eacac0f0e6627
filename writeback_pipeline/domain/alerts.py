"""The rules by which somebody is alerted: facts in, what is wrong now out. Pure; a table, a function for each row.

What has been told of it already, and what is to be told next, is `incidents`' work. Every rule has a section of its
name in docs/runbook.md.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from writeback_pipeline.domain.health import DagsterHealth, FailedRun, LedgerHealth
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, OPT_OUT_KINDS, Kind, Status

OPT_OUT_LIMITS = (timedelta(hours=1), timedelta(hours=4), timedelta(hours=24))
"""How long an opt-out may be owed before that is a warning, pages somebody, and is red."""

BUDGET_WARNING = 0.9
RESTORE_TOLD_FOR = timedelta(hours=24)
SILENCE_TOLD_FOR = timedelta(days=30)
"""What has been silent for longer was taken down."""

CHECKS_WITH_A_RULE = frozenset({"nothing_failed", "no_opt_out_is_older_than", "organisation_is_ready"})
"""Checks that show what another rule tells: the last one, when it is red, fails its run."""


class Severity(StrEnum):
    """How soon somebody has to look; later ones are worse."""

    WARNING = "warning"  # in working hours
    PAGE = "page"  # now
    RED = "red"  # a legal deadline is near

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that is wrong now. `key` stays the same while it lasts, and is nothing else's."""

    key: str
    rule: str
    severity: Severity
    words: str


@dataclass(frozen=True, slots=True)
class _Found:
    severity: Severity
    words: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. It is told only once it has lasted for `after`; `command` shows more of it."""

    title: str
    look: Callable[[LedgerHealth, DagsterHealth, datetime], Iterator[_Found]]
    command: str = "writebacks check"
    after: timedelta = timedelta()
    needs_dagster: bool = False


def _opt_out_overdue(ledger: LedgerHealth, _: DagsterHealth, now: datetime) -> Iterator[_Found]:
    if ledger.oldest_opt_out is None:
        return
    age = now - ledger.oldest_opt_out
    over = [severity for severity, limit in zip(Severity, OPT_OUT_LIMITS, strict=True) if age > limit]
    if over:
        yield _Found(over[-1], f"the oldest of {ledger.open_opt_outs():,} owed opt-outs waits for {duration(age)}")


def _rows_need_a_person(ledger: LedgerHealth, _: DagsterHealth, __: datetime) -> Iterator[_Found]:
    opt_outs, activity = (_failed(ledger, kinds) for kinds in (OPT_OUT_KINDS, ACTIVITY_KINDS))
    if opt_outs or activity:
        yield _Found(Severity.WARNING, f"failed: {opt_outs:,} opt-outs and {activity:,} rows of activity")


def _budget_nearly_spent(ledger: LedgerHealth, _: DagsterHealth, __: datetime) -> Iterator[_Found]:
    if ledger.calls_ours and ledger.calls_made > BUDGET_WARNING * ledger.calls_ours:
        severity = Severity.PAGE if ledger.calls_made >= ledger.calls_ours else Severity.WARNING
        yield _Found(severity, f"{ledger.calls_made:,} of our {ledger.calls_ours:,} API calls of 24 hours are made")


def _salesforce_in_trouble(ledger: LedgerHealth, _: DagsterHealth, __: datetime) -> Iterator[_Found]:
    if ledger.hold is not None:
        severity = Severity.WARNING if ledger.hold.passing else Severity.PAGE
        yield _Found(severity, f"no calls are made, because {ledger.hold.code}: {ledger.hold.message}")


def _not_ticking(ledger: LedgerHealth, _: DagsterHealth, now: datetime) -> Iterator[_Found]:
    for name, beat in ledger.heartbeats.items():
        if beat.due_by < now < beat.at + SILENCE_TOLD_FOR:
            yield _Found(Severity.PAGE, f"{name} has not ticked for {duration(now - beat.at)}", name)


def _restored_backup(ledger: LedgerHealth, _: DagsterHealth, now: datetime) -> Iterator[_Found]:
    if ledger.restored_at is not None and now - ledger.restored_at < RESTORE_TOLD_FOR:
        yield _Found(
            Severity.PAGE,
            f"the database was put back to an earlier state, or lost its end; noticed at {instant(ledger.restored_at)}",
            ledger.restored_at.isoformat(),
        )


def _wrong_organisation(_: LedgerHealth, dagster: DagsterHealth, __: datetime) -> Iterator[_Found]:
    for run in dagster.failed_runs:
        if run.wrong_organisation:
            yield _Found(Severity.PAGE, _told_of(run))
            return


def _run_failed(_: LedgerHealth, dagster: DagsterHealth, __: datetime) -> Iterator[_Found]:
    for run in dagster.failed_runs:
        if not run.wrong_organisation:
            subject = run.job if run.partition is None else f"{run.job} {run.partition}"
            yield _Found(Severity.WARNING if run.passing else Severity.PAGE, _told_of(run), subject)


def _check_failed(_: LedgerHealth, dagster: DagsterHealth, __: datetime) -> Iterator[_Found]:
    for check in dagster.red_checks:
        if check.name not in CHECKS_WITH_A_RULE:
            words = f"{check.name} of {check.asset}: {check.words}"
            yield _Found(Severity.WARNING, words, f"{check.asset} {check.name}")


RULES: Mapping[str, Rule] = {
    "opt_out_overdue": Rule(
        "An opt-out waits too long",
        _opt_out_overdue,
        "writebacks list --status pending --status waiting --status unknown --kind unsubscribe",
    ),
    "rows_need_a_person": Rule("Rows need a person", _rows_need_a_person, "writebacks list --status failed"),
    "budget_nearly_spent": Rule("The API budget is nearly spent", _budget_nearly_spent),
    "salesforce_in_trouble": Rule(
        "Salesforce has been left alone for long", _salesforce_in_trouble, after=timedelta(minutes=15)
    ),
    "not_ticking": Rule("Nothing is delivered by itself", _not_ticking),
    "restored_backup": Rule("A backup was put back", _restored_backup, "writebacks list --status unknown"),
    "wrong_organisation": Rule("The credentials lead to another organisation", _wrong_organisation, needs_dagster=True),
    "run_failed": Rule("A run failed", _run_failed, needs_dagster=True),
    "check_failed": Rule("A check is red", _check_failed, needs_dagster=True),
}


def judged_rules(*, with_dagster: bool) -> frozenset[str]:
    """The rules whose facts are known; of the others nothing can be said, not even that all is well."""
    return frozenset(name for name, rule in RULES.items() if with_dagster or not rule.needs_dagster)


def look(ledger: LedgerHealth, dagster: DagsterHealth | None, now: datetime) -> list[Sighting]:
    """Everything that is wrong now, as far as the facts tell; `dagster` is None where nobody has looked there."""
    return [
        Sighting(f"{name}:{found.subject}" if found.subject else name, name, found.severity, found.words)
        for name in RULES
        if name in judged_rules(with_dagster=dagster is not None)
        for found in RULES[name].look(ledger, dagster or DagsterHealth(), now)
    ]


def duration(length: timedelta) -> str:
    """Such as `3 min`, `4 h 10 min`, `2 days 3 h`."""
    minutes = max(0, int(length.total_seconds() // 60))
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} days {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def instant(at: datetime) -> str:
    """To the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _failed(ledger: LedgerHealth, kinds: Collection[Kind]) -> int:
    return sum(ledger.owed.get((kind, Status.FAILED), 0) for kind in kinds)


def _told_of(run: FailedRun) -> str:
    of = f" of {run.partition}" if run.partition else ""
    return f"{run.job}{of}, run {run.run_id}: {run.words or 'its log in Dagster says why'}"
