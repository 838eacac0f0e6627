"""Who the sample organisation's people are: invented one after the other from one seed, ids included.

The same people in every process and on every machine, and no organisation needed to ask for them; how they get into
one is `sample`'s business.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from writeback_pipeline.local_org import ids
from writeback_pipeline.local_org.sample_names import COMPANIES, COMPANY_KINDS, COMPANY_WORDS, PEOPLE, mailbox, native

_SEED = 20261123
_ACCOUNTS, _CONTACTS, _LEADS = 300, 1_500, 700
_OPTED_OUT_CONTACTS, _OPTED_OUT_LEADS = 40, 20
_CONTACT_AND_LEAD_PAIRS, _CONTACT_PAIRS = 60, 30
_WITHOUT_EMAIL = 25
_CONVERTED = 40
_MERGED, _CHAINS = 20, 2
_DELETED_CONTACTS, _DELETED_LEADS = 10, 5
_PURGED_CONTACTS, _PURGED_LEADS = 3, 2

_LANGUAGE_WEIGHTS = (8, *(1 for _ in PEOPLE[1:]))
_PREFIXES: dict[str, str] = {"Account": "001", "Contact": "003", "Lead": "00Q"}
_FIRST_NUMBER, _STEP = 3_000_000, 7
"""Ids are spaced out, and stay below those that an organisation gives to new records."""

ObjectType = Literal["Contact", "Lead"]


@dataclass(frozen=True, slots=True)
class SampleAccount:
    """A company that Contacts work for and Leads come from."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """A Contact or Lead; `became` is the Contact that a conversion or merge made of it, None for everybody else."""

    id: str
    object_type: ObjectType
    first_name: str
    last_name: str
    email: str | None
    account: SampleAccount
    became: str | None = None

    @property
    def name(self) -> str:
        """Full name as Salesforce shows it."""
        return f"{self.first_name} {self.last_name}"


@dataclass(frozen=True, slots=True)
class SamplePeople:
    """The groups do not overlap, except that `opted_out_in_salesforce` are also among `contacts` and `leads`.

    `contacts` and `leads` are alive; of the `purged` no row is left; merged Contacts come in the order of their merges.
    """

    accounts: tuple[SampleAccount, ...]
    contacts: tuple[SamplePerson, ...]
    leads: tuple[SamplePerson, ...]
    converted_leads: tuple[SamplePerson, ...]
    merged_contacts: tuple[SamplePerson, ...]
    deleted: tuple[SamplePerson, ...]
    purged: tuple[SamplePerson, ...]
    opted_out_in_salesforce: tuple[SamplePerson, ...]


@dataclass(frozen=True, slots=True)
class _Casting:
    """What inventing one more person needs; the order in which people are invented is part of the result."""

    random: random.Random
    numbers: dict[str, Iterator[int]]
    accounts: list[SampleAccount] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)

    def new_id(self, object_name: str) -> str:
        return ids.make(_PREFIXES[object_name], next(self.numbers[object_name]))


def invent() -> SamplePeople:
    """Everybody, group by group."""
    chance = random.Random(_SEED)  # noqa: S311 - no secret: everybody is to get the same people
    casting = _Casting(chance, {name: count(_FIRST_NUMBER, _STEP) for name in _PREFIXES})
    casting.accounts.extend(SampleAccount(casting.new_id("Account"), name) for name in _company_names(chance))
    contacts = [_person(casting, "Contact") for _ in range(_CONTACTS)]
    leads = [_person(casting, "Lead") for _ in range(_LEADS)]
    # Every Contact and Lead plays one special part at most; whoever is left over is an ordinary person.
    contact_at, lead_at = (iter(chance.sample(range(size), size)) for size in (_CONTACTS, _LEADS))
    opted_out = [contacts[next(contact_at)] for _ in range(_OPTED_OUT_CONTACTS)]
    opted_out += [leads[next(lead_at)] for _ in range(_OPTED_OUT_LEADS)]
    for _ in range(_CONTACT_AND_LEAD_PAIRS):
        lead, contact = next(lead_at), next(contact_at)
        leads[lead] = replace(leads[lead], email=contacts[contact].email)
    for _ in range(_CONTACT_PAIRS):
        one, other = next(contact_at), next(contact_at)
        contacts[one] = replace(contacts[one], email=(contacts[other].email or "").upper())
    for _ in range(_WITHOUT_EMAIL):
        silent = next(contact_at)
        contacts[silent] = replace(contacts[silent], email=None)
    converted = [_former(casting, "Lead", contacts[next(contact_at)]) for _ in range(_CONVERTED)]
    merged: list[SamplePerson] = []
    for _ in range(_CHAINS):
        second = _former(casting, "Contact", contacts[next(contact_at)])
        merged += [_former(casting, "Contact", second), second]
    merged += [_former(casting, "Contact", contacts[next(contact_at)]) for _ in range(_MERGED - len(merged))]
    return SamplePeople(
        accounts=tuple(casting.accounts),
        contacts=tuple(contacts),
        leads=tuple(leads),
        converted_leads=tuple(converted),
        merged_contacts=tuple(merged),
        deleted=_several(casting, _DELETED_CONTACTS, _DELETED_LEADS),
        purged=_several(casting, _PURGED_CONTACTS, _PURGED_LEADS),
        opted_out_in_salesforce=tuple(opted_out),
    )


def _company_names(chance: random.Random) -> list[str]:
    plain = [f"{word} {kind}" for word in COMPANY_WORDS.split() for kind in COMPANY_KINDS]
    return [*COMPANIES, *chance.sample(plain, _ACCOUNTS - len(COMPANIES))]


def _several(casting: _Casting, contacts: int, leads: int) -> tuple[SamplePerson, ...]:
    return (
        *(_person(casting, "Contact") for _ in range(contacts)),
        *(_person(casting, "Lead") for _ in range(leads)),
    )


def _person(casting: _Casting, object_type: ObjectType) -> SamplePerson:
    chance = casting.random
    first_names, last_names = chance.choices(PEOPLE, _LANGUAGE_WEIGHTS)[0]
    first, last = chance.choice(first_names.split()), chance.choice(last_names.split())
    account = chance.choice(casting.accounts)
    local_part = f"{mailbox(first)}.{mailbox(last)}"
    domain = f"{mailbox(account.name) or account.id.lower()}.example"
    numbered = (f"{local_part}{number or ''}@{domain}" for number in count())
    email = next(address for address in numbered if address not in casting.addresses)
    casting.addresses.add(email)
    return SamplePerson(casting.new_id(object_type), object_type, native(first), native(last), email, account)


def _former(casting: _Casting, object_type: ObjectType, present: SamplePerson) -> SamplePerson:
    """The record that a person had before a conversion or merge made `present` of it."""
    return replace(present, id=casting.new_id(object_type), object_type=object_type, became=present.id)
