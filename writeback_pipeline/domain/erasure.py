"""Erasing a person on request: what the ledger has of somebody, and how a name that is gone is known again.

What identifies a person, or is in their own words, goes. That somebody with this Salesforce id opted out, when, and
what was done about it stays: the opt-out is honoured by it, and proved with it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

ERASED = "erased/"
"""What a delivery key begins with that was taken out with its person's data."""


class NotErasable(Exception):
    """Nobody is known by that name, several are, or something is under way; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What the ledger has of one person.

    `people` are the ids of all their records, where they are now first; `names` the e-mail addresses and subscribers
    that they were queued with. `records` is how many Notes and Tasks Salesforce was given, `others` are the ids of
    records that share a name. `opted_out` while an opt-out stands, or is owed.
    """

    people: tuple[str, ...]
    names: frozenset[str]
    writeback_ids: tuple[int, ...]
    attempts: int
    records: int
    opted_out: bool
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erased:
    """A name that was erased, as its hash, with the id of the record that had it; empty for somebody without one."""

    name: str
    person: str
    at: datetime


def name_hash(salt: str, name: str) -> str:
    """What an e-mail address or a subscriber is known again by."""
    return _hash(salt, name.strip().lower())


def erased_key(salt: str, delivery_key: str) -> str:
    """What stands in place of a delivery key: queued once more, the same change is still known."""
    return ERASED + _hash(salt, delivery_key)


def _hash(salt: str, text: str) -> str:
    return hashlib.sha256((salt + text).encode()).hexdigest()
