"""The rules of `domain.people` about record ids as SQL expressions, for millions of ids at once.

One person written in the form with 15 and in that with 18 characters is one person; an id that no Contact or Lead can
have is told apart.
"""

from writeback_pipeline.domain.people import KEY_PREFIXES

_SUFFIX_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


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


def is_person_sql(column: str) -> str:
    """Whether the normal id in that column is one that a Contact or Lead can have."""
    form = f"(?:{'|'.join(KEY_PREFIXES.values())})[0-9A-Za-z]{{12}}[0-9A-Z]{{3}}"
    return f"regexp_full_match({column}, '{form}') AND substr({column}, 16, 3) = {_suffix_sql(column)}"


def _suffix_sql(id15: str) -> str:
    return " || ".join(f"substr('{_SUFFIX_ALPHABET}', 1 + {_bits_sql(id15, start)}, 1)" for start in (1, 6, 11))


def _bits_sql(id15: str, start: int) -> str:
    """The five characters from `start` as a number, bit k set where the k-th of them is an upper-case letter."""
    return " + ".join(f"(substr({id15}, {start + k}, 1) BETWEEN 'A' AND 'Z')::INTEGER * {1 << k}" for k in range(5))
