"""What a filter of the Writeback List means in SQL: the condition on a row of `writebacks w`, and its values."""

from collections.abc import Callable, Iterable
from enum import StrEnum

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import InvalidSalesforceId, normalise_id
from writeback_pipeline.store.session import storable

_LARGEST_ID = 2**63 - 1

_IDS = ("salesforce_id", "redirected_from", "person_id", "subscriber_id")
"""Columns that name a person."""

_NAMES = ("salesforce_id", "redirected_from", "subscriber_id", "note_id", "task_id", "run_id", "delivery_key")
"""Columns in which a text is looked for whole."""

_WORDS = ("email", "reason", "error_code", "error_message")
"""Columns in which any part of them counts, in upper or lower case."""


def where(only: WritebackFilter) -> tuple[str, list[object]]:
    """The conditions, and the values of their $1, $2, ...; a part of the filter that is empty sets none."""
    values: list[object] = []

    def bind(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    conditions = ["TRUE"]
    # Literals, not values: the names are ours, and the database skips what it knows to hold none of them.
    for column, members in (("status", only.statuses), ("kind", only.kinds), ("object_type", only.object_types)):
        if members:
            conditions.append(f"w.{column} IN ({_literals(members)})")
    if only.error_codes:
        codes = [storable(code) for code in only.error_codes]
        conditions.append(f"w.error_code IN (SELECT unnest({bind(codes)}::TEXT[]))")
    if only.without_codes:
        codes = [storable(code) for code in only.without_codes]
        conditions.append(f"coalesce(w.error_code, '') NOT IN (SELECT unnest({bind(codes)}::TEXT[]))")
    if only.since is not None:
        conditions.append(f"w.occurred_at >= {bind(only.since)}::TIMESTAMP")
    if only.until is not None:
        conditions.append(f"w.occurred_at < {bind(only.until)}::TIMESTAMP")
    if only.run_id is not None:
        conditions.append(f"w.run_id = {bind(storable(only.run_id))}")
    if only.person is not None:
        who = bind(_as_stored(only.person))
        ids = " OR ".join(f"w.{name} = {who}" for name in _IDS)
        conditions.append(f"({ids} OR lower(w.email) = lower({who}))")
    if only.text is not None:
        conditions.append(f"({' OR '.join(_about(only.text, bind))})")
    if only.ids is not None:
        conditions.append(f"w.id IN (SELECT unnest({bind(list(only.ids))}::BIGINT[]))")
    return " AND ".join(conditions), values


def _about(text: str, bind: Callable[[object], str]) -> list[str]:
    """What makes a row one that the text is about: its number, a name of somebody or something, part of its words."""
    name = bind(_as_stored(text))
    conditions = [f"w.{column} = {name}" for column in _NAMES]
    words = storable(text.strip()) or ""
    escaped = words.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    # An ESCAPE clause doubles what DuckDB needs, so only texts that want it have one. PostgreSQL's is the backslash; it
    # needs half the time where it has nothing but ASCII's letters to compare without their case.
    like = (
        ('COLLATE "C" ' if words.isascii() else "")
        + f"ILIKE {bind(f'%{escaped}%')}"
        + (" ESCAPE '!'" if escaped != words or "\\" in words else "")
    )
    conditions += [f"w.{column} {like}" for column in _WORDS]
    if words.isascii() and words.isdigit() and int(words) <= _LARGEST_ID:
        conditions.append(f"w.id = {int(words)}")
    return conditions


def _literals(names: Iterable[StrEnum]) -> str:
    return ", ".join(f"'{name.value}'" for name in names)


def _as_stored(person: str) -> str:
    """A record id in its 18 characters; an e-mail address or subscriber as it is."""
    try:
        return normalise_id(person)
    except InvalidSalesforceId:
        return storable(person.strip()) or ""
