"""Passwords: argon2id hashes, and how often somebody may try.

A wrong name takes as long as a wrong password, and hashes are computed one at a time: they are made to be expensive.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from writeback_pipeline.console.access import Account

TRIES = 5
"""Wrong passwords for one name, after which it has to wait."""

TRIES_OF_ADDRESS = 20
"""Wrong passwords from one address, whatever the names."""

WINDOW = timedelta(minutes=15)
"""The time in which they are counted."""

SHORTEST = 12
"""The least number of characters of a new password."""

_MOST_KEYS = 10_000
_hasher = PasswordHasher()
_one_at_a_time = threading.Lock()


def hash_password(password: str) -> str:
    """The argon2id hash that an account is configured with; ValueError when the password is too short."""
    if len(password) < SHORTEST:
        raise ValueError(f"a password needs {SHORTEST} characters or more")
    return _hasher.hash(password)


def account_of(accounts: Mapping[str, Account], name: str, password: str) -> Account | None:
    """The account of that name, if the password is its own."""
    account = accounts.get(name)
    with _one_at_a_time:
        try:
            _hasher.verify(account.password_hash if account else _nobodys_hash(), password)
        except (VerificationError, InvalidHashError):
            return None
    return account


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody's password")


class Throttle:
    """Counts wrong passwords by name and by address, for a while and in memory only."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], list[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str, address: str, now: datetime) -> timedelta | None:
        """How long to wait before the next try; None when one may be made now."""
        with self._lock:
            limits = ((("name", name), TRIES), (("address", address), TRIES_OF_ADDRESS))
            waits = [
                recent[-most] + WINDOW - now for key, most in limits if len(recent := self._recent(key, now)) >= most
            ]
        return max(waits, default=None)

    def failed(self, name: str, address: str, now: datetime) -> None:
        """Count a wrong password."""
        with self._lock:
            for key in (("name", name), ("address", address)):
                self._failures[key] = [*self._recent(key, now), now]
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_KEYS:
                self._failures.popitem(last=False)

    def _recent(self, key: tuple[str, str], now: datetime) -> list[datetime]:
        return [at for at in self._failures.get(key, []) if at > now - WINDOW]
