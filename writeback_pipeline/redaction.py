"""What may be said in a log or a message: no secret, no e-mail address, nothing that a terminal or a log would obey.

One redactor stands before every sink. It is the last line, not the first: nobody should write a secret in the first
place. Record ids stay, they are what a line is about.
"""

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote, urlsplit

REMOVED = "***"
PERSONAL_DATA = "WRITEBACK_LOG_PERSONAL_DATA"
"""Set to 1, it leaves e-mail addresses in."""

_OURS = re.compile("(^|_)(SALESFORCE|WRITEBACK|DAGSTER|CELERY)_")
"""Also in the middle of a name: where there are several bridges, each has a prefix of its own before its variables."""

_SECRET_NAMES = re.compile("SECRET|PASSWORD|TOKEN|WEBHOOK")
_SHORTEST = 8
"""Secrets of fewer characters would take ordinary words out of every line; the embedded organisation's is one."""

_TOKENS = re.compile(
    r"\b00D\w{12,15}![\w.]+"  # a session of Salesforce
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"  # a JWT
    r"|\$argon2\w+\$[\w$=,+/.-]+"  # the hash of a password
    r"|(?<=\bBearer )[\w.!~+/=-]+"
)
_EMAIL = re.compile(
    r"(?P<scheme>://)[^\s/?#\"'<>]*@"  # whose login it is: the host stays, it is no part of an e-mail address
    r"|[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+"
)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def redacted(text: str, variables: Mapping[str, str] = os.environ) -> str:
    """The text on one line without the secrets that the environment holds; e-mail addresses only if it allows them."""
    secrets = _pattern(frozenset(_secrets(variables)))
    text = _TOKENS.sub(REMOVED, secrets.sub(REMOVED, text) if secrets else text)
    if variables.get(PERSONAL_DATA) != "1":
        text = _EMAIL.sub(lambda found: f"{found['scheme']}{REMOVED}@" if found["scheme"] else REMOVED, text)
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()


def _secrets(variables: Mapping[str, str]) -> Iterator[str]:
    """Values of variables that hold one, and the passwords and paths of addresses that do."""
    for name, value in variables.items():
        if not _OURS.search(name):
            continue
        secret = _SECRET_NAMES.search(name) is not None
        if secret:
            yield value
        if "://" in value:
            try:
                parts = urlsplit(value)
            except ValueError:
                continue
            if secret:
                yield parts.path
            if parts.password:
                yield from (parts.password, unquote(parts.password))
            yield from _passwords_in(parts.query)


def _passwords_in(query: str) -> Iterator[str]:
    """As written and as meant; libpq takes a password there, too."""
    for name, value in (pair.partition("=")[::2] for pair in query.split("&")):
        if _SECRET_NAMES.search(name.upper()):
            yield from (value, unquote(value))


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    long_first = sorted((each for each in secrets if len(each) >= _SHORTEST), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, long_first))) if long_first else None
