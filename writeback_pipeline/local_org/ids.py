"""Record ids as Salesforce makes and reads them: 15 case-sensitive characters, 18 with the checksum suffix.

Text in, text out; whether a record of that id exists is a question for `records`.
"""

from __future__ import annotations

import re

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ONE_FOR_CAPITALS = str.maketrans({letter: str(int(letter.isupper())) for letter in _DIGITS})
_INSTANCE = "wb"
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")


def suffix(short: str) -> str:
    """The three checksum characters of a 15-character id: which of its letters are capitals."""
    capitals = short.translate(_ONE_FOR_CAPITALS)
    # The first character of a block is the lowest bit, hence the blocks are read backwards.
    return "".join(_SUFFIX[int(block, 2)] for block in (capitals[4::-1], capitals[9:4:-1], capitals[14:9:-1]))


def normalise(text: object) -> str | None:
    """The 18-character form of a 15- or 18-character id, or None when it is not one (a wrong suffix included).

    The suffix is compared in any case, the first 15 characters are taken as they stand.
    """
    if not isinstance(text, str) or not _SHAPE.fullmatch(text):
        return None
    short = text[:15]
    full = short + suffix(short)
    return full if len(text) == 15 or text[15:].upper() == full[15:] else None


def make(key_prefix: str, number: int) -> str:
    """The id of the `number`-th record with that prefix: prefix, instance, a zero, nine base-62 digits, suffix."""
    digits = []
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    short = f"{key_prefix}{_INSTANCE}0{''.join(reversed(digits))}"
    return short + suffix(short)
