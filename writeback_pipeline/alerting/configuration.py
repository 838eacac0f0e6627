"""Which channels there are, read from the environment and checked before anything is sent."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import SplitResult, unquote, urlsplit

from writeback_pipeline.alerting.mail import Mail
from writeback_pipeline.alerting.messages import RUNBOOK
from writeback_pipeline.alerting.webhook import Webhook
from writeback_pipeline.bridges import CHOSEN
from writeback_pipeline.domain.trouble import Trouble

WEBHOOK = "WRITEBACK_ALERT_WEBHOOK"
SMTP_URL = "WRITEBACK_ALERT_SMTP_URL"
MAIL_FROM = "WRITEBACK_ALERT_MAIL_FROM"
MAIL_TO = "WRITEBACK_ALERT_MAIL_TO"
REMINDER = "WRITEBACK_ALERT_REMINDER_HOURS"
RUNBOOK_URL = "WRITEBACK_ALERT_RUNBOOK"
NAME = "WRITEBACK_ALERT_NAME"

_PORTS = {"smtp": 587, "smtps": 465}


class AlertsMisconfigured(Trouble):
    """The variables of the alerts are incomplete, contradictory or wrong; the message says which and what to set."""


@dataclass(frozen=True, slots=True)
class Alerting:
    """The channels, how often what lasts is told again, and what messages say of the installation and its runbook."""

    channels: tuple[Webhook | Mail, ...]
    reminder: timedelta
    installation: str
    runbook: str


def read_alerting(variables: Mapping[str, str]) -> Alerting:
    """What the variables say; raises AlertsMisconfigured. Without any of them there is no channel."""
    given = {name: value.strip() for name, value in variables.items() if value.strip()}
    channels: list[Webhook | Mail] = []
    if WEBHOOK in given:
        channels.append(_webhook(given[WEBHOOK]))
    mail = [name for name in (SMTP_URL, MAIL_FROM, MAIL_TO) if name in given]
    if mail:
        missing = [name for name in (SMTP_URL, MAIL_FROM, MAIL_TO) if name not in given]
        if missing:
            raise AlertsMisconfigured(
                f"{' and '.join(missing)} missing beside {', '.join(mail)}: set what is missing, or unset the others"
            )
        channels.append(_mail(given[SMTP_URL], given[MAIL_FROM], given[MAIL_TO]))
    return Alerting(
        tuple(channels),
        timedelta(hours=_hours(given.get(REMINDER, "24"))),
        ", ".join([given.get(NAME) or socket.gethostname(), *([f"bridge {given[CHOSEN]}"] if CHOSEN in given else [])]),
        given.get(RUNBOOK_URL, RUNBOOK),
    )


def _webhook(url: str) -> Webhook:
    parts = _split(WEBHOOK, url)
    if parts.scheme not in ("https", "http"):
        raise AlertsMisconfigured(f"{WEBHOOK} is not a web address: use https://...")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise AlertsMisconfigured(f"{WEBHOOK} would send messages unencrypted to {parts.hostname}: use https://")
    return Webhook(url)


def _mail(url: str, sender: str, recipients: str) -> Mail:
    parts = _split(SMTP_URL, url)
    if parts.scheme not in _PORTS or parts.path not in ("", "/") or parts.query:
        raise AlertsMisconfigured(f"{SMTP_URL} has to be smtp://[user:password@]host[:port], or smtps:// with it")
    if (parts.username is None) != (parts.password is None):
        raise AlertsMisconfigured(f"{SMTP_URL} has to hold both a user and a password, or neither")
    assert parts.hostname is not None
    user = None if parts.username is None else unquote(parts.username)
    return Mail(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        _address(MAIL_FROM, sender),
        tuple(_address(MAIL_TO, each) for each in recipients.split(",")),
        tls=parts.scheme == "smtps",
        in_the_clear=parts.scheme == "smtp" and user is None and _is_loopback(parts.hostname),
        user=user,
        password=None if parts.password is None else unquote(parts.password),
    )


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise AlertsMisconfigured(f"{name} is not an address: it names no host, or no port that there is")


def _address(name: str, text: str) -> str:
    address = text.strip()
    local, _, domain = address.rpartition("@")
    if not local or not domain or not address.isascii() or any(c.isspace() or c in '<>",;:()[]\\' for c in address):
        raise AlertsMisconfigured(f"{name} has to hold plain addresses such as operations@example.org, with commas")
    return address


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 1 <= hours <= 24 * 365:
        raise AlertsMisconfigured(f"{REMINDER} is {text}: it has to be a number of hours from 1 on")
    return hours


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
