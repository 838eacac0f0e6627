"""The settings as a form has them: their names for people, what was filled in wrongly, and whose change it was.

Texts by name throughout, as they are stored. Which values are allowed is decided in `domain.settings`.
"""

from collections.abc import Mapping, Sequence

from writeback_pipeline.domain.ledger import SettingChange
from writeback_pipeline.domain.settings import InvalidSetting, parse_setting

LABELS: Mapping[str, str] = {
    "activity_enabled": "Enable Mailing Activity Writeback",
    "sent": "Sent",
    "opened": "Opened",
    "occurrence": "Occurrence",
    "frequency": "Frequency",
    "time_zone": "Time zone",
    "week_starts_on": "Week starts on",
    "platform_name": "Name of the platform",
    "note_object": "Notes are written as",
    "api_budget_share": "Share of the daily API requests",
    "opt_out_reserve": "Reserve for opt-outs",
    "bulk_threshold": "Bulk API from",
    "concurrent_calls": "Calls at once",
    "key_records": "Key records",
    "audit_sample": "People in a nightly audit",
    "suppress_opt_out_flag": "Flag suppression",
}
"""Name to what people call it; every setting there is."""

SWITCHES = ("activity_enabled", "sent", "opened", "key_records")
"""Settings with a box to tick: a form leaves out those that are not ticked."""

READ_ONLY = "suppress_opt_out_flag"
"""The setting that the page shows and has no control for."""

_WORDS = {"true": "on", "false": "off"}


def words(name: str, text: str) -> str:
    """A setting's value as it is shown."""
    if name in {"occurrence", "frequency", "week_starts_on"}:
        return text.capitalize()
    return _WORDS.get(text, text)


def told(change: SettingChange) -> str:
    """A change in one line, such as `Frequency: Manual → Daily`."""
    return (
        f"{LABELS.get(change.name, change.name)}: {words(change.name, change.old)} → {words(change.name, change.new)}"
    )


def filled_in(fields: Mapping[str, str]) -> dict[str, str]:
    """The settings that a form says; a box that is not ticked is in no form and means false."""
    return dict.fromkeys(SWITCHES, "false") | {name: text.strip() for name, text in fields.items()}


def problems(texts: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with each text that a setting does not take; none has a switch for opt-outs or for the flag."""
    found = {}
    for name, text in texts.items():
        if name == READ_ONLY:
            found[name] = "Flag suppression is changed in the database or by the command line, not here"
            continue
        try:
            parse_setting(name, text)
        except InvalidSetting as error:
            message = str(error).removeprefix(f"{name} ").removeprefix(f"{name}: ")
            found[name] = message[0].upper() + message[1:]
    return found


def before(texts: Mapping[str, str], changes: Sequence[SettingChange]) -> dict[str, str]:
    """The settings as they were before those changes, oldest first, led to these."""
    return dict(texts) | {change.name: change.old for change in reversed(changes)}


def merged(mine: Mapping[str, str], shown: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What somebody filled in over the settings as they are now: only what they changed of those `shown` to them."""
    return {name: text if text != shown[name] else now[name] for name, text in mine.items()}
