"""Erasure of one person: their names and words leave every table; ids, times and the opt-out stay.

Nothing may be under way meanwhile: who delivers has the words in memory, and a read-back goes by them.
"""

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any

from writeback_pipeline.domain.erasure import ERASED, Erased, NotErasable, PersonalData, erased_key, name_hash
from writeback_pipeline.domain.ledger import Asked, OperatorAction
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS
from writeback_pipeline.store import operators
from writeback_pipeline.store.session import Session, as_columns, in_utc, storable, unnested
from writeback_pipeline.store.story import ends, stations

_LISTED = "(SELECT unnest($1::TEXT[]))"
_THEIRS = f"(w.person_id IN {_LISTED} OR w.salesforce_id IN {_LISTED} OR w.redirected_from IN {_LISTED})"
_NAMED = "(w.subscriber_id IN (SELECT unnest($1::TEXT[])) OR lower(w.email) IN (SELECT lower(unnest($1::TEXT[]))))"
_ANSWER = "Erased with the person's data."


def personal_data(session: Session, who: str, now: datetime) -> PersonalData:
    """What there is of the person of that record id, e-mail address or subscriber. Raises NotErasable."""
    who = storable(who.strip()) or ""
    records = sorted(ends(session, who))
    if len(records) > 1:
        raise NotErasable(f"{who} is a name of several records: erase each by its id, {', '.join(records)}.")
    people = stations(session, records[0]) if records else []
    rows = _rows(session, _THEIRS, people)
    names = _names(rows) if records else {who}
    rows += _rows(session, f"w.salesforce_id IS NULL AND {_NAMED}", sorted(names))
    names |= _names(rows)
    if not rows and not people:  # of a record there may be something in an archive
        raise NotErasable(
            f"nobody is known as {who}: give a record id of 15 or 18 characters, an e-mail address or a subscriber."
        )
    _refuse_under_way(session, rows, people, now)
    ids = [row["id"] for row in rows]
    [(attempts,)] = session.execute(
        "SELECT count(*) FROM delivery_attempts a WHERE a.writeback_id IN (SELECT unnest($1::BIGINT[]))", [ids]
    ).fetchall()
    [(standing,)] = session.execute(
        f"SELECT count(*) FROM opt_out_origins o WHERE o.cleared_at IS NULL AND o.person_id IN {_LISTED}", [people]
    ).fetchall()
    others = session.execute(
        f"SELECT DISTINCT w.salesforce_id FROM writebacks w WHERE w.salesforce_id IS NOT NULL AND {_NAMED} ORDER BY 1",
        [sorted(names)],
    ).fetchall()
    return PersonalData(
        people=tuple(people),
        names=frozenset(names),
        writeback_ids=tuple(ids),
        attempts=attempts,
        records=sum(row["has_record"] for row in rows),
        opted_out=bool(standing) or any(row["is_owed"] for row in rows),
        others=tuple(id_ for (id_,) in others if id_ not in people),
    )


def erase(session: Session, data: PersonalData, asked: Asked) -> None:
    """Erase it, and enter who asked for it."""
    ids, salt = list(data.writeback_ids), _salt(session) or _new_salt(session)
    keys = [
        (id_, key if _names_a_window(kind, salesforce_id) or key.startswith(ERASED) else erased_key(salt, key))
        for id_, kind, salesforce_id, key in session.execute(
            "SELECT w.id, w.kind, w.salesforce_id, w.delivery_key FROM writebacks w "
            "WHERE w.id IN (SELECT unnest($1::BIGINT[]))",
            [ids],
        ).fetchall()
    ]
    session.execute(
        "UPDATE writebacks AS w SET email = NULL, subscriber_id = NULL, reason = NULL, delivery_key = n.delivery_key, "
        "error_message = CASE WHEN w.error_message IS NOT NULL THEN $3 END "
        f"FROM ({unnested({'id': 'BIGINT', 'delivery_key': 'TEXT'})}) n WHERE w.id = n.id",
        [*as_columns(keys, 2), _ANSWER],
    )
    session.execute(
        "UPDATE delivery_attempts SET message = $2 "
        "WHERE message IS NOT NULL AND writeback_id IN (SELECT unnest($1::BIGINT[]))",
        [ids, _ANSWER],
    )
    person = data.people[0] if data.people else ""
    known = {(each.name, each.person) for each in _erased(session, [name_hash(salt, name) for name in data.names])}
    names = {(name_hash(salt, name), person) for name in data.names} - known
    session.execute(
        f"INSERT INTO erased_names (name_hash, person_id, erased_at) SELECT n.name_hash, n.person_id, $3::TIMESTAMP "
        f"FROM ({unnested({'name_hash': 'TEXT', 'person_id': 'TEXT'})}) n",
        [*as_columns(sorted(names), 2), asked.at],
    )
    detail = f"names and words of {person or 'somebody without a record'}"
    operators.enter(session, OperatorAction(asked, "erase", detail, data.writeback_ids))


def erased(session: Session, who: str) -> list[Erased]:
    """Whom that e-mail address or subscriber was a name of before it was erased."""
    salt = _salt(session)
    return _erased(session, [name_hash(salt, who)]) if salt else []


def erased_keys(session: Session, keys: Collection[str]) -> dict[str, str]:
    """What stands in place of those delivery keys where their person was erased, by key; nothing where nobody was."""
    salt = _salt(session)
    return {key: erased_key(salt, key) for key in keys} if salt else {}


def _rows(session: Session, condition: str, values: Collection[str]) -> list[dict[str, Any]]:
    names = ("id", "status", "subscriber_id", "email", "has_record", "is_owed")
    rows = session.execute(
        "SELECT w.id, w.status, w.subscriber_id, w.email, w.note_id IS NOT NULL OR w.task_id IS NOT NULL, "
        "w.kind = 'unsubscribe' AND w.status IN ('pending', 'waiting', 'failed') "
        f"FROM writebacks w WHERE {condition} ORDER BY w.id",
        [list(values)],
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def _names(rows: list[dict[str, Any]]) -> set[str]:
    return {name for row in rows for name in (row["subscriber_id"], row["email"]) if name}


def _refuse_under_way(session: Session, rows: list[dict[str, Any]], people: Collection[str], now: datetime) -> None:
    [(leased,)] = session.execute(
        f"SELECT count(*) FROM people p WHERE p.lease_until > $2::TIMESTAMP AND p.person_id IN {_LISTED}",
        [list(people), now],
    ).fetchall()
    in_doubt = [str(row["id"]) for row in rows if row["status"] in ("sending", "unknown")]
    if leased or in_doubt:
        what = f"writeback {', '.join(in_doubt)} is" if in_doubt else "the person is being"
        raise NotErasable(
            f"{what} under way: nothing is erased in the middle of it. Try again in a quarter of an hour."
        )


def _names_a_window(kind: str, salesforce_id: str | None) -> bool:
    """Whether the key is made of a window and a record's id, by which the window's Task is found again."""
    return kind not in OPT_OUT_KINDS and salesforce_id is not None


def _salt(session: Session) -> str | None:
    rows = session.execute("SELECT s.salt FROM erasure_salt s").fetchall()
    return rows[0][0] if rows else None


def _new_salt(session: Session) -> str:
    salt = secrets.token_hex(32)
    session.execute("INSERT INTO erasure_salt (slot, salt) VALUES (1, $1)", [salt])
    return salt


def _erased(session: Session, hashes: Collection[str]) -> list[Erased]:
    rows = session.execute(
        f"SELECT e.name_hash, e.person_id, e.erased_at FROM erased_names e WHERE e.name_hash IN {_LISTED} "
        "ORDER BY e.erased_at, e.person_id",
        [list(hashes)],
    ).fetchall()
    return [Erased(name, person, in_utc(at)) for name, person, at in rows]
