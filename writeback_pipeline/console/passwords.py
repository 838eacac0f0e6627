"""Passwords: argon2id hashes, and how often somebody may try.

A wrong name takes as long as a wrong password, and hashes are computed one at a time: they are made to be expensive.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from writeback_pipeline.console.access import Account

TRIES = 5
"""Tries for one name from one address, after which it has to wait."""

TRIES_OF_ADDRESS = 20
"""Tries from one address, whatever the names."""

TRIES_OF_NAME = 100
"""Tries for one name, wherever from; many, as whoever uses them up keeps the name's owner out."""

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
    compared = account or next(iter(accounts.values()), None)  # a wrong name costs as much as a wrong password
    if compared is None:
        return None
    with _one_at_a_time:
        try:
            _hasher.verify(compared.password_hash, password)
        except (VerificationError, InvalidHashError):
            return None
    return account


class Throttle:
    """Counts tries by name and by address, for a while and in memory only. A try counts before it is made, so that many
    at once are no more than many in a row."""

    def __init__(self) -> None:
        self._tries: OrderedDict[tuple[str, str], list[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def enter(self, name: str, address: str, now: datetime) -> timedelta | None:
        """Count a try and return None; or how long to wait before one may be made."""
        with self._lock:
            recent = {key: self._recent(key, now) for key in _limits(name, address)}
            full = [tries[-most] for key, most in _limits(name, address).items() if len(tries := recent[key]) >= most]
            if full:
                return max(full) + WINDOW - now
            for key, tries in recent.items():
                self._tries[key] = [*tries, now]
                self._tries.move_to_end(key)
            while len(self._tries) > _MOST_KEYS:
                self._tries.popitem(last=False)
        return None

    def forgive(self, name: str, address: str, now: datetime) -> None:
        """The password was right: take that try back."""
        with self._lock:
            for key in _limits(name, address):
                if now in self._tries.get(key, []):
                    self._tries[key].remove(now)

    def _recent(self, key: tuple[str, str], now: datetime) -> list[datetime]:
        return [at for at in self._tries.get(key, []) if at > now - WINDOW]


def _limits(name: str, address: str) -> dict[tuple[str, str], int]:
    return {(name, address): TRIES, ("", address): TRIES_OF_ADDRESS, (name, ""): TRIES_OF_NAME}
