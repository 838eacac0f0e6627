"""The platform's side of `writebacks check`: its database, mailing events and alerts, a finding each."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from writeback_pipeline.activity.database import ActivityDataError
from writeback_pipeline.alerting.configuration import AlertsMisconfigured
from writeback_pipeline.bindings import open_activity, open_channels, open_store
from writeback_pipeline.domain.findings import Finding, Level
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.settings import InvalidSetting, Occurrence, WritebackSettings
from writeback_pipeline.domain.windows import Calendar, window_of
from writeback_pipeline.environment import Environment
from writeback_pipeline.salesforce.connection import ConfigurationError
from writeback_pipeline.store.errors import StoreUnusable

AREA = "platform"
EVENTS = "mailing events"
ALERTS = "alerts"
RECENT = timedelta(days=7)
"""How far back mailing events are looked for."""

LedgerFacts = tuple[list[Finding], WritebackSettings, str | None]


def platform_database(environment: Environment, now: datetime) -> LedgerFacts:
    """The database's findings; the settings (the defaults where they cannot be read) and the pinned organisation."""
    defaults = WritebackSettings()
    if not environment.has_database:
        told = f"{environment.database} is not there yet; the first command that needs it makes it"
        return [_ok("database", told)], defaults, None
    try:
        store = open_store(environment)
        settings, pinned, depth = store.activity_settings(), store.pinned_organisation(), store.depth()
        server = store.server_condition()
    except InvalidSetting as error:
        remedy = "Correct the row of the table settings, or set it with writebacks settings set."
        return [_failure("settings", error, remedy)], defaults, None
    except StoreBusy as error:
        remedy = "Wait, or end the program that keeps it."
        return [_failure("database", error, remedy, passing=True)], defaults, None
    except (StoreUnusable, ConfigurationError) as error:
        return [_failure("database", error, "Correct WRITEBACK_DATABASE, or do what it says.")], defaults, None
    age = now - depth.oldest_created_at if depth.oldest_created_at else timedelta()
    told = f"{store.shown} is migrated and readable; {depth.owed:,} opt-outs are owed"
    if depth.owed:
        told += f", the oldest for {int(age.total_seconds() // 60):,} minutes"
    return [_ok("database", told), *server], settings, pinned


def events(environment: Environment, settings: WritebackSettings, now: datetime) -> Finding:
    """Whether the place of the mailing events can be listed, and has any of the last days."""
    if not settings.activity_enabled:
        return _ok(EVENTS, "activity_enabled is false: none are read")
    calendar = Calendar(Occurrence.DAILY, settings.zone)
    windows = [window_of(now - timedelta(days=days), calendar) for days in range(RECENT.days)]
    try:
        fingerprints = open_activity(environment).fingerprints(windows)
    except ActivityDataError as error:
        return Finding(AREA, EVENTS, Level.FAILURE, f"{error.file}: {error.problem}", error.remedy)
    except ConfigurationError as error:
        return _failure(EVENTS, error, "Correct WRITEBACK_ACTIVITY.")
    days = sum(bool(text) for text in fingerprints.values())
    if days:
        return _ok(EVENTS, f"{environment.activity} has those of {days} of the last {RECENT.days} days")
    told = f"{environment.activity} has none of the last {RECENT.days} days"
    return Finding(AREA, EVENTS, Level.WARNING, told, "Correct WRITEBACK_ACTIVITY, or set activity_enabled=false.")


def alert_channels(variables: Mapping[str, str]) -> Finding:
    """Whether anybody is told of trouble, and by what."""
    try:
        channels = open_channels(variables).alerting.channels
    except AlertsMisconfigured as error:
        return _failure(ALERTS, error, "Correct the WRITEBACK_ALERT_ variables.")
    if channels:
        return _ok(ALERTS, "; ".join(f"{each.name} to {each.target}" for each in channels))
    remedy = "Set WRITEBACK_ALERT_WEBHOOK, or WRITEBACK_ALERT_SMTP_URL; then writebacks alerts test."
    return Finding(AREA, ALERTS, Level.WARNING, "nobody is told when something is wrong", remedy)


def _ok(subject: str, told: str) -> Finding:
    return Finding(AREA, subject, Level.OK, told)


def _failure(subject: str, error: Exception, remedy: str, *, passing: bool = False) -> Finding:
    return Finding(AREA, subject, Level.FAILURE, str(error), remedy, passing)
