"""When a changed setting takes effect, in words."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from writeback_pipeline.console.rendering import local
from writeback_pipeline.domain.ledger import SettingChange
from writeback_pipeline.domain.settings import Frequency, WritebackSettings
from writeback_pipeline.domain.ticks import next_tick
from writeback_pipeline.domain.windows import chosen_kinds

_OF_ACTIVITY = {"activity_enabled", "sent", "opened", "occurrence", "frequency", "week_starts_on"}


def next_delivery(settings: WritebackSettings, now: datetime, ticking_in: ZoneInfo | None = None) -> str:
    """When activity is delivered by itself next, by schedules that tick in that zone, or in the one of the settings."""
    if not settings.activity_enabled:
        return "Nothing is delivered while mailing activity writeback is off."
    if not chosen_kinds(settings):
        return "Nothing is delivered while neither Sent nor Opened is chosen."
    if settings.frequency is Frequency.MANUAL:
        return "Nothing is delivered by itself: send a window now, or choose a frequency."
    tick = next_tick(settings.frequency, now, ticking_in or settings.zone)
    assert tick is not None
    return f"The next delivery is due {local(tick, settings.zone)}."


def effects(changes: Iterable[SettingChange], settings: WritebackSettings, now: datetime) -> list[str]:
    """When these changes, which led to these settings, take effect; a sentence for each moment."""
    names = {change.name: change for change in changes}
    sentences = []
    if names.keys() & _OF_ACTIVITY:
        before = ZoneInfo(names["time_zone"].old) if "time_zone" in names else None
        sentences.append(next_delivery(settings, now, before))
    if "time_zone" in names:
        sentences.append(
            f"Windows and Notes follow {settings.time_zone} at once. The schedules go on ticking in "
            f"{names['time_zone'].old} until Dagster's daemon is started again."
        )
    if names.keys() - _OF_ACTIVITY - {"time_zone"}:
        sentences.append("The rest counts from the next run on; one that is under way ends as it began.")
    return sentences
