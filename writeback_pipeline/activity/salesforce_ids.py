"""The rules of `domain.people` about record ids for millions of ids at once, in SQL and in numpy.

One person written in the form with 15 and in that with 18 characters is one person; an id that no Contact or Lead can
have is told apart.
"""

import numpy as np
from numpy.typing import NDArray

from writeback_pipeline.domain.people import KEY_PREFIXES

_SUFFIX_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SUFFIXES = np.frombuffer(_SUFFIX_ALPHABET.encode(), np.uint8)
_PREFIXES = np.array([int.from_bytes(prefix.encode(), "little") for prefix in KEY_PREFIXES.values()], np.uint64)
_SIZE, _BLOCK = 18, 8_192
"""Bytes of an id, and ids that are looked at together: few enough to stay near the processor."""

_FIVES = np.dtype({"names": ["0", "1", "2"], "formats": ["<u8"] * 3, "offsets": [0, 5, 10], "itemsize": _SIZE})
"""An id as three numbers, of which the lower five bytes are the characters that one of the suffix stands for."""


def normal_id_sql(column: str) -> str:
    """The id in that column without spaces around it, and with the suffix where it has 15 characters.

    Other texts stay as they are. The first two branches are all that ids usually need; the third is slow.
    """
    trimmed = f"trim({column})"
    return (
        f"CASE WHEN length({column}) = 18 AND NOT suffix({column}, ' ') AND NOT prefix({column}, ' ') THEN {column} "
        f"WHEN length({column}) = 15 AND NOT suffix({column}, ' ') THEN {column} || {_suffix_sql(column)} "
        f"WHEN length({trimmed}) = 15 THEN {trimmed} || {_suffix_sql(trimmed)} "
        f"ELSE {trimmed} END"
    )


def not_people(ids: bytes) -> list[str]:
    """Those of the ids, 18 bytes each, one after the other, that no Contact or Lead can have."""
    blocks = (ids[start : start + _BLOCK * _SIZE] for start in range(0, len(ids), _BLOCK * _SIZE))
    return [str(wrong, "utf-8") for block in blocks for wrong in _ids_in(block)[~_are_people(block)].tolist()]


def _ids_in(block: bytes) -> NDArray[np.void]:
    return np.frombuffer(block, np.dtype((np.void, _SIZE)))


def _are_people(block: bytes) -> NDArray[np.bool_]:
    letters, fives = np.frombuffer(block, np.uint8), np.frombuffer(block, _FIVES)
    # Below the first letter or digit of each sort a byte wraps round, to far more than its last.
    known = (letters - ord("0") < 10) | (letters - ord("A") < 26) | (letters - ord("a") < 26)
    suffixes = letters.reshape(-1, _SIZE)[:, 15:]
    good = np.isin(fives["0"] & 0xFFFFFF, _PREFIXES)
    if not known.all():
        good &= known.reshape(-1, _SIZE).all(axis=1)
    for number, name in enumerate(fives.dtype.names or ()):
        five = fives[name]
        # A letter has bit 6, a lower-case one bit 5, too. The product gathers bit 0 of the bytes in its bits 32 to 36.
        upper = (five >> 6) & ~(five >> 5) & 0x0101010101
        good &= _SUFFIXES[upper * 0x0102040810 >> 32 & 31] == suffixes[:, number]
    return good


def _suffix_sql(id15: str) -> str:
    return " || ".join(f"substr('{_SUFFIX_ALPHABET}', 1 + {_bits_sql(id15, start)}, 1)" for start in (1, 6, 11))


def _bits_sql(id15: str, start: int) -> str:
    """The five characters from `start` as a number, bit k set where the k-th of them is an upper-case letter."""
    return " + ".join(f"(substr({id15}, {start + k}, 1) BETWEEN 'A' AND 'Z')::INTEGER * {1 << k}" for k in range(5))
