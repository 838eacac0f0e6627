"""Who a writeback is about: a Contact or a Lead, named by a Salesforce record id.

Ids come in two forms: 15 characters, case-sensitive, and 18, where three more characters encode the case of the first
15. Everything in this project compares the 18-character form. Looking records up is not this module's work.
"""

import re
from enum import StrEnum
from string import ascii_uppercase
from typing import NamedTuple

_FORM = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Z]{3})?")
_SUFFIXES = {
    f"{bits:05b}"[::-1].encode(): character for bits, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345")
}
_UPPER_CASE_AS_BITS = bytes(ord("1" if chr(code) in ascii_uppercase else "0") for code in range(256))


class InvalidSalesforceId(ValueError):
    """A text that is not the id of a Contact or Lead; the message says why and what to do."""


class ObjectType(StrEnum):
    """The Salesforce objects that people are."""

    CONTACT = "Contact"
    LEAD = "Lead"


KEY_PREFIXES = {ObjectType.CONTACT: "003", ObjectType.LEAD: "00Q"}


class PersonRef(NamedTuple):
    """One Contact or Lead; `salesforce_id` is the 18-character id."""

    object_type: ObjectType
    salesforce_id: str


def id_suffix(id15: str) -> str:
    """The three characters that turn a 15-character id into the 18-character one.

    Each covers five characters: bit k is set where the k-th of them is an upper-case letter.
    """
    upper = id15.encode().translate(_UPPER_CASE_AS_BITS)
    return _SUFFIXES[upper[:5]] + _SUFFIXES[upper[5:10]] + _SUFFIXES[upper[10:]]


def normalise_id(text: str) -> str:
    """The 18-character form of a 15- or 18-character record id.

    Raises InvalidSalesforceId for any other form and for an 18-character id whose suffix does not fit.
    """
    candidate = text.strip()
    if not _FORM.fullmatch(candidate):
        raise InvalidSalesforceId(
            f"{_shown(text)} is not a Salesforce id: it must be 15 letters and digits, or 18 with the suffix"
        )
    suffix = id_suffix(candidate[:15])
    if len(candidate) == 18 and candidate[15:] != suffix:
        raise InvalidSalesforceId(
            f"{_shown(text)} is not a Salesforce id: its last three characters do not fit the first 15. "
            "Was its upper and lower case changed, by a spreadsheet for instance? Export the id again."
        )
    return candidate[:15] + suffix


def person_ref(object_type: ObjectType, text: str) -> PersonRef:
    """The person with that id; raises InvalidSalesforceId when the id belongs to another kind of record."""
    salesforce_id = normalise_id(text)
    prefix = KEY_PREFIXES[object_type]
    if not salesforce_id.startswith(prefix):
        raise InvalidSalesforceId(f"{_shown(text)} is not the id of a {object_type}: those begin with {prefix}")
    return PersonRef(object_type, salesforce_id)


def object_type_of(salesforce_id: str) -> ObjectType | None:
    """Contact or Lead by the id's key prefix; None for any other record."""
    return next((kind for kind, prefix in KEY_PREFIXES.items() if salesforce_id.startswith(prefix)), None)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
