"""The variables of the alerts: complete sets are taken, others refused with the name of what is missing or wrong."""

from datetime import timedelta

import pytest

from writeback_pipeline.alerting.configuration import AlertsMisconfigured, read_alerting

MAIL = {
    "WRITEBACK_ALERT_SMTP_URL": "smtp://user:p%40ss@mail.example.org",
    "WRITEBACK_ALERT_MAIL_FROM": "writebacks@example.org",
    "WRITEBACK_ALERT_MAIL_TO": "ops@example.org, boss@example.org",
}
HOOK = {"WRITEBACK_ALERT_WEBHOOK": "https://hooks.example.org/services/canary"}


def test_without_variables_there_is_no_channel() -> None:
    alerting = read_alerting({"WRITEBACK_ALERT_WEBHOOK": "", "HOME": "/"})
    assert (alerting.channels, alerting.reminder) == ((), timedelta(hours=24))


def test_messages_of_a_bridge_name_it() -> None:
    alerting = read_alerting({"WRITEBACK_ALERT_NAME": "production", "WRITEBACK_BRIDGE": "north"})
    assert alerting.installation == "production, bridge north"


def test_both_channels_show_where_they_lead_and_no_secret() -> None:
    alerting = read_alerting(MAIL | HOOK | {"WRITEBACK_ALERT_REMINDER_HOURS": "12", "WRITEBACK_ALERT_NAME": "one"})
    assert [(each.name, each.target) for each in alerting.channels] == [
        ("webhook", "hooks.example.org"),
        ("mail", "2 recipients through mail.example.org:587"),
    ]
    assert (alerting.reminder, alerting.installation) == (timedelta(hours=12), "one")
    assert "canary" not in repr(alerting)
    assert "p@ss" not in repr(alerting)


@pytest.mark.parametrize("left_out", MAIL)
def test_an_incomplete_set_is_refused_with_the_missing_name(left_out: str) -> None:
    with pytest.raises(AlertsMisconfigured, match=f"^{left_out} missing"):
        read_alerting({name: value for name, value in MAIL.items() if name != left_out})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WRITEBACK_ALERT_WEBHOOK", "http://hooks.example.org/canary"),
        ("WRITEBACK_ALERT_WEBHOOK", "ftp://hooks.example.org/canary"),
        ("WRITEBACK_ALERT_WEBHOOK", "canary"),
        ("WRITEBACK_ALERT_WEBHOOK", "https://[canary"),
        ("WRITEBACK_ALERT_SMTP_URL", "imap://mail.example.org"),
        ("WRITEBACK_ALERT_SMTP_URL", "smtp://canary@mail.example.org"),
        ("WRITEBACK_ALERT_SMTP_URL", "smtp://mail.example.org:99999"),
        ("WRITEBACK_ALERT_MAIL_TO", "ops"),
        ("WRITEBACK_ALERT_MAIL_TO", "ops@example.org,"),
        ("WRITEBACK_ALERT_MAIL_FROM", "A <a@example.org>"),
        ("WRITEBACK_ALERT_MAIL_FROM", "a@example.org\nBcc: b@example.org"),
        ("WRITEBACK_ALERT_REMINDER_HOURS", "soon"),
        ("WRITEBACK_ALERT_REMINDER_HOURS", "0"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_name_and_without_its_secret(name: str, value: str) -> None:
    with pytest.raises(AlertsMisconfigured, match=name) as caught:
        read_alerting(MAIL | HOOK | {name: value})
    assert "canary" not in str(caught.value)
