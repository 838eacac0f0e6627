"""The writeback settings: names, values, defaults, and the one place that says which values are allowed.

Where they are kept and who changed them is the store's work. Unsubscribe and resubscribe have no switch, on purpose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from writeback_pipeline.domain.trouble import Trouble


class InvalidSetting(Trouble, ValueError):
    """A setting that does not exist or a value that it does not take; the message names the remedy."""


class Occurrence(StrEnum):
    """The window that mailing activity is summarised over."""

    DAILY = "daily"
    WEEKLY = "weekly"


class Frequency(StrEnum):
    """How often activity is delivered by itself."""

    MANUAL = "manual"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


class Weekday(StrEnum):
    """First day of the weekly window."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class NoteObject(StrEnum):
    """The Salesforce object that notes are written as."""

    NOTE = "Note"
    CONTENT_NOTE = "ContentNote"


@dataclass(frozen=True, slots=True)
class WritebackSettings:
    """All settings at one moment; shares are fractions of the organisation's daily API requests."""

    activity_enabled: bool = True
    sent: bool = True
    opened: bool = False
    occurrence: Occurrence = Occurrence.DAILY
    frequency: Frequency = Frequency.MANUAL
    suppress_opt_out_flag: bool = False
    time_zone: str = "UTC"
    week_starts_on: Weekday = Weekday.MONDAY
    platform_name: str = "Informz"
    note_object: NoteObject = NoteObject.NOTE
    api_budget_share: float = 0.5
    opt_out_reserve: float = 0.2
    bulk_threshold: int = 10_000
    concurrent_calls: int = 4
    key_records: bool = False
    audit_sample: int = 0

    @property
    def zone(self) -> ZoneInfo:
        """The bridge's time zone."""
        return ZoneInfo(self.time_zone)


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())  # walks the whole zone database: a tenth of a second


def _time_zone(text: str) -> str:
    if text not in _time_zones():
        raise ValueError("an IANA time zone such as America/New_York")
    return text


def _platform_name(text: str) -> str:
    if not 1 <= len(text) <= 20 or not text.isprintable() or text != text.strip() or "@{" in text:
        raise ValueError("1 to 20 printable characters, without @{")
    return text


def _share(lowest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not lowest <= value <= 1:
            raise ValueError(f"a number from {lowest:g} to 1.0")
        return value

    return parse


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("a whole number of rows, 1 or more")
    return int(text)


def _people(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("a whole number of people, 0 for everybody")
    return int(text)


def _calls(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 25):
        raise ValueError("a whole number of calls at once, from 1 to 25")
    return int(text)


def _weekday(text: str) -> Weekday:
    try:
        return Weekday(text)
    except ValueError:
        raise ValueError("a day from monday to sunday") from None


def _choice(values: type[StrEnum]) -> Callable[[str], StrEnum]:
    def parse(text: str) -> StrEnum:
        try:
            return values(text)
        except ValueError:
            raise ValueError(" or ".join([", ".join(list(values)[:-1]), list(values)[-1]])) from None

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "activity_enabled": _boolean,
    "sent": _boolean,
    "opened": _boolean,
    "occurrence": _choice(Occurrence),
    "frequency": _choice(Frequency),
    "suppress_opt_out_flag": _boolean,
    "time_zone": _time_zone,
    "week_starts_on": _weekday,
    "platform_name": _platform_name,
    "note_object": _choice(NoteObject),
    "api_budget_share": _share(0.01),
    "opt_out_reserve": _share(0.0),
    "bulk_threshold": _rows,
    "concurrent_calls": _calls,
    "key_records": _boolean,
    "audit_sample": _people,
}

MEANINGS: Mapping[str, str] = {
    "activity_enabled": "write mailing activity at all",
    "sent": "write mailings that were sent",
    "opened": "write mailings that were opened",
    "occurrence": "window that one Task sums up",
    "frequency": "how often activity is delivered by itself",
    "suppress_opt_out_flag": "write the Note only, leave Email Opt Out alone",
    "time_zone": "of the times in Notes, and of windows",
    "week_starts_on": "first day of a weekly window",
    "platform_name": "the platform's name in Notes and Tasks",
    "note_object": "ContentNote where only Enhanced Notes are in use",
    "api_budget_share": "part of the daily API requests that is ours",
    "opt_out_reserve": "part of that which activity may not touch",
    "bulk_threshold": "rows of a kind from which the Bulk API is used",
    "concurrent_calls": "calls of one delivery at a time",
    "key_records": "a record with a unique key beside each Note",
    "audit_sample": "people that the nightly audit looks at",
}
"""What each setting is for, in a few words."""

_OF_ACTIVITY = ("activity_enabled", "sent", "opened", "occurrence", "frequency", "week_starts_on")

_OPT_OUT_SWITCHES = ("unsubscribe", "resubscribe", "opt_out", "optout")


def parse_setting(name: str, text: str) -> Any:
    """The value of that setting; raises InvalidSetting naming the setting, the value and what it takes."""
    if name not in _PARSERS:
        if name.lower().startswith(_OPT_OUT_SWITCHES):
            raise InvalidSetting(f"{name}: unsubscribe and resubscribe cannot be turned off")
        raise InvalidSetting(f"{name!r} is not a setting; the settings are {', '.join(_PARSERS)}")
    try:
        return _PARSERS[name](text)
    except ValueError as error:
        raise InvalidSetting(f"{name} takes {error}, not {text!r}") from None


def as_stored(texts: Mapping[str, str]) -> dict[str, str]:
    """Those settings as they are stored; raises InvalidSetting that tells all of them that are wrong."""
    stored, wrong = {}, []
    for name, text in texts.items():
        try:
            stored[name] = setting_text(parse_setting(name, text))
        except InvalidSetting as error:
            wrong.append(str(error))
    if wrong:
        raise InvalidSetting("; ".join(wrong))
    return stored


def takes(name: str) -> str:
    """Which values that setting takes, in words."""
    try:
        _PARSERS[name]("\0")  # no setting takes that
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{name} takes anything")


def setting_text(value: Any) -> str:
    """The value as it is stored and shown; `parse_setting` reads it back."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings_from(stored: Mapping[str, str]) -> WritebackSettings:
    """Settings from stored texts; what is not stored has its default."""
    known = {field.name for field in fields(WritebackSettings)}
    return WritebackSettings(**{name: parse_setting(name, text) for name, text in stored.items() if name in known})


def settings_without_activity(stored: Mapping[str, str]) -> WritebackSettings:
    """The same with activity off and its own settings left out: what opt-outs need when one of those is not allowed."""
    concerned = {name: text for name, text in stored.items() if name not in _OF_ACTIVITY}
    return settings_from(concerned | {"activity_enabled": "false"})


def as_mapping(settings: WritebackSettings) -> dict[str, Any]:
    """Name to value, in the documented order."""
    return {field.name: getattr(settings, field.name) for field in fields(settings)}
