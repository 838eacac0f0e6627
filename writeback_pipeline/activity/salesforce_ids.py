"""The rules of `domain.people` about record ids as SQL expressions, for millions of ids at once.

One person written in the form with 15 and in that with 18 characters is one person; an id that no Contact or Lead can
have is told apart.
"""

import re
from collections.abc import Sequence

from writeback_pipeline.domain.people import KEY_PREFIXES, id_suffix

_SUFFIX_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_BEGINNING = re.compile(f"(?:{'|'.join(KEY_PREFIXES.values())})[0-9A-Za-z]{{7}}")


def _five_and_suffix(between: str = "") -> str:
    """Five characters of an id, and after `between` the one of the suffix that tells the upper-case letters in them."""
    return "|".join(
        "".join("[A-Z]" if bits >> k & 1 else "[0-9a-z]" for k in range(5)) + between + letter
        for bits, letter in enumerate(_SUFFIX_ALPHABET)
    )


def normal_id_sql(column: str) -> str:
    """The id in that column without spaces around it, and with the suffix where it has 15 characters.

    Other texts stay as they are. The first two branches are all that ids usually need; the third is slow.
    """
    trimmed = f"trim({column})"
    return (
        f"CASE WHEN length({column}) = 18 AND NOT suffix({column}, ' ') THEN {column} "
        f"WHEN length({column}) = 15 AND NOT suffix({column}, ' ') THEN {column} || {_suffix_sql(column)} "
        f"WHEN length({trimmed}) = 15 THEN {trimmed} || {_suffix_sql(trimmed)} "
        f"ELSE {trimmed} END"
    )


def is_person_sql(column: str, beginnings: Sequence[str] = ()) -> str:
    """Whether the normal id in that column is one that a Contact or Lead can have.

    Ids are counted up, so most of them share their first ten characters with millions of others. Those with one of
    these `beginnings` are told by a single expression, in half the time; what is said of an id does not depend on it.
    """
    checked = ", ".join(f"substr({column}, {1 + 5 * k}, 5), substr({column}, {16 + k}, 1)" for k in range(3))
    prefixes = ", ".join(f"'{prefix}'" for prefix in KEY_PREFIXES.values())
    is_person = (
        f"length({column}) = 18 AND substr({column}, 1, 3) IN ({prefixes}) "
        f"AND regexp_full_match(concat({checked}), '(?:{_five_and_suffix()}){{3}}')"
    )
    shared = [
        f"{beginning}(?:{_five_and_suffix(id_suffix(beginning + '00000')[:2])})"
        for beginning in beginnings
        if _BEGINNING.fullmatch(beginning)
    ]
    if not shared:
        return is_person
    return f"CASE WHEN regexp_full_match({column}, '{'|'.join(shared)}') THEN true ELSE {is_person} END"


def _suffix_sql(id15: str) -> str:
    return " || ".join(f"substr('{_SUFFIX_ALPHABET}', 1 + {_bits_sql(id15, start)}, 1)" for start in (1, 6, 11))


def _bits_sql(id15: str, start: int) -> str:
    """The five characters from `start` as a number, bit k set where the k-th of them is an upper-case letter."""
    return " + ".join(f"(substr({id15}, {start + k}, 1) BETWEEN 'A' AND 'Z')::INTEGER * {1 << k}" for k in range(5))
