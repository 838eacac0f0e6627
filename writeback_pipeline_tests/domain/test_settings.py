"""Settings: documented names, defaults and values, and no switch for opt-outs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.settings import (
    InvalidSetting,
    WritebackSettings,
    as_mapping,
    parse_setting,
    setting_text,
    settings_from,
)

DEFAULTS = {
    "activity_enabled": True,
    "sent": True,
    "opened": False,
    "occurrence": "daily",
    "frequency": "manual",
    "suppress_opt_out_flag": False,
    "time_zone": "UTC",
    "week_starts_on": "monday",
    "platform_name": "Informz",
    "note_object": "Note",
    "api_budget_share": 0.5,
    "opt_out_reserve": 0.2,
    "bulk_threshold": 10000,
    "concurrent_calls": 4,
    "key_records": False,
    "audit_sample": 0,
}


def test_a_fresh_ledger_has_the_documented_defaults() -> None:
    assert as_mapping(settings_from({})) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sent", "yes"),
        ("occurrence", "monthly"),
        ("frequency", "Hourly"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../etc/passwd"),
        ("week_starts_on", "1"),
        ("platform_name", ""),
        ("platform_name", "x" * 21),
        ("platform_name", "a\nb"),
        ("platform_name", "@{x.y}"),
        ("note_object", "note"),
        ("api_budget_share", "0"),
        ("api_budget_share", "1.1"),
        ("api_budget_share", "nan"),
        ("opt_out_reserve", "-0.1"),
        ("bulk_threshold", "0"),
        ("bulk_threshold", "1e3"),
        ("concurrent_calls", "0"),
        ("concurrent_calls", "26"),
    ],
)
def test_a_value_that_a_setting_does_not_take_is_named_with_what_it_takes(name: str, text: str) -> None:
    with pytest.raises(InvalidSetting, match=f"^{name} takes "):
        parse_setting(name, text)


@pytest.mark.parametrize("name", ["unsubscribe_enabled", "resubscribe", "Unsubscribe", "opt_outs_enabled"])
def test_opt_outs_cannot_be_turned_off(name: str) -> None:
    with pytest.raises(InvalidSetting, match="unsubscribe and resubscribe cannot be turned off"):
        parse_setting(name, "false")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidSetting, match="'color' is not a setting; the settings are activity_enabled"):
        parse_setting("color", "red")


def test_an_opt_out_reserve_of_nothing_is_allowed() -> None:
    assert parse_setting("opt_out_reserve", "0") == 0.0


@given(st.text(max_size=30))
def test_no_text_crashes_any_parser(text: str) -> None:
    for name in DEFAULTS:
        try:
            value = parse_setting(name, text)
        except InvalidSetting:
            continue
        assert parse_setting(name, setting_text(value)) == value


def test_what_is_stored_is_read_back() -> None:
    changed = WritebackSettings(opened=True, time_zone="America/New_York", api_budget_share=0.25)
    assert settings_from({name: setting_text(value) for name, value in as_mapping(changed).items()}) == changed
