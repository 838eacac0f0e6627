"""Who may come in: accounts and their roles, the names that the console answers to, and how it is all configured.

On the loopback interface nobody needs an account: whoever can reach it runs as this machine's user. On any other
address accounts and a secret have to be configured first.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError

SECRET_LENGTH = 32
"""The least number of characters of a secret that somebody chose."""

METRICS_TOKEN = "WRITEBACK_METRICS_TOKEN"  # noqa: S105 - a name

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

_HASHED = "$argon2id$"
_HOW_ACCOUNTS = "an account is NAME:ROLE:HASH, and `writebacks console hash-password` makes the hash"


class Role(StrEnum):
    """What a user may do: look, or also change."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class AccessError(ValueError):
    """The configuration lets nobody in safely; the message says what to set."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who came in."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may come in; the password is kept as an argon2id hash."""

    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in and under which names. Without accounts everybody is `local_user`.

    `hosts` are the names that a request may ask for, `origins` the addresses that a form may come from besides the
    one it asks for; `secure` when browsers speak https, to the console or to a proxy before it. Where there is
    a `metrics_token`, who reads `/metrics` has to send it.
    """

    secret: str
    accounts: Mapping[str, Account]
    local_user: User
    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    secure: bool = False
    metrics_token: str | None = None


def read_access(variables: Mapping[str, str], host: str, operator: str) -> Access:
    """The access that the environment configures for a console that listens on `host`; raises AccessError."""
    accounts = _accounts(variables)
    secret = variables.get("WRITEBACK_CONSOLE_SECRET", "")
    urls = [_url(text) for text in variables.get("WRITEBACK_CONSOLE_URL", "").split()]
    if secret and len(secret) < SECRET_LENGTH:
        raise AccessError(f"WRITEBACK_CONSOLE_SECRET is shorter than {SECRET_LENGTH} characters: choose a longer one")
    metrics_token = variables.get(METRICS_TOKEN) or None
    if metrics_token is not None and len(metrics_token) < SECRET_LENGTH:
        raise AccessError(f"{METRICS_TOKEN} is shorter than {SECRET_LENGTH} characters: choose a longer one")
    if not is_loopback(host) and not (accounts and secret):
        missing = [
            *([] if accounts else [f"WRITEBACK_CONSOLE_USERS to at least one account ({_HOW_ACCOUNTS})"]),
            *([] if secret else [f"WRITEBACK_CONSOLE_SECRET to {SECRET_LENGTH} or more random characters"]),
        ]
        raise AccessError(f"{host} can be reached by others: set {', and '.join(missing)}")
    return Access(
        secret=secret or secrets.token_urlsafe(SECRET_LENGTH),
        accounts=accounts,
        local_user=User(operator, Role.OPERATOR),
        hosts=LOOPBACK_NAMES | {host} | {url.hostname or "" for url in urls},
        origins=frozenset(f"{url.scheme}://{url.netloc}" for url in urls),
        metrics_token=metrics_token,
        secure=bool(urls) and all(url.scheme == "https" for url in urls),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_account(text: str) -> Account:
    """The account of `name:role:hash`; raises AccessError, which never repeats the hash."""
    name, colon, rest = text.partition(":")
    role, _, hashed = rest.partition(":")
    if not name or not name.isprintable():
        raise AccessError(f"an account has no name: {_HOW_ACCOUNTS}")
    if not colon:
        raise AccessError(f"an account is only one word: {_HOW_ACCOUNTS}")
    if role not in list(Role):
        raise AccessError(
            f"the account {name} has no role: write {name}:{Role.VIEWER}:... or {name}:{Role.OPERATOR}:..."
        )
    if not hashed.startswith(_HASHED):
        raise AccessError(f"the account {name} has no argon2id hash: {_HOW_ACCOUNTS}")
    try:
        extract_parameters(hashed)
    except InvalidHashError:
        raise AccessError(f"the hash of the account {name} is not whole: {_HOW_ACCOUNTS}") from None
    return Account(User(name, Role(role)), hashed)


def _accounts(variables: Mapping[str, str]) -> dict[str, Account]:
    texts = variables.get("WRITEBACK_CONSOLE_USERS", "").split()
    path = variables.get("WRITEBACK_CONSOLE_USERS_FILE")
    if path:
        try:
            lines = Path(path).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"WRITEBACK_CONSOLE_USERS_FILE is {path}, which cannot be read: {error}") from None
        texts += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    accounts: dict[str, Account] = {}
    for account in map(parse_account, texts):
        if account.user.name in accounts:
            raise AccessError(f"the account {account.user.name} is given twice")
        accounts[account.user.name] = account
    return accounts


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        good = (
            url.scheme in {"http", "https"} and url.hostname and not (url.path.strip("/") or url.query or url.username)
        )
    except ValueError:
        good = False
    if not good:
        raise AccessError("WRITEBACK_CONSOLE_URL is wrong: write each address as browsers know it, https://name[:port]")
    return url
