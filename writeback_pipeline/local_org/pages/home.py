"""The first page: people found by name, e-mail address or id, or those that changed last."""

from __future__ import annotations

import sqlite3

from starlette.responses import Response

from writeback_pipeline.local_org import ids, times
from writeback_pipeline.local_org.pages.visit import Visit, go_to, render
from writeback_pipeline.local_org.record_view import PEOPLE, person_of

_MOST = 50
_LISTED = {
    "Contact": "SELECT c.Id, 'Contact' AS Object, c.Name, a.Name AS Company, c.Email, c.HasOptedOutOfEmail, "
    "c.LastModifiedDate FROM Contact c LEFT JOIN Account a ON a.Id = c.AccountId WHERE c.IsDeleted = 0",
    "Lead": "SELECT c.Id, 'Lead' AS Object, c.Name, c.Company, c.Email, c.HasOptedOutOfEmail, "
    "c.LastModifiedDate FROM Lead c WHERE c.IsDeleted = 0",
}
_FOUND = " AND (instr(folded(c.Name), ?1) OR instr(folded(c.Email), ?1)) ORDER BY c.Name, c.Id LIMIT ?2"
_NEWEST = " ORDER BY c.SystemModstamp DESC, c.Id DESC LIMIT ?1"


def home(visit: Visit) -> Response:
    """People who match `q`, or without it the latest; an id that is known leads to its record at once."""
    wanted = visit.query.get("q", "").strip()
    record_id = ids.normalise(wanted)
    if record_id and person_of(visit.connection, record_id):
        return go_to(f"/record/{record_id}")
    rows = _found(visit.connection, wanted) if wanted else _latest(visit.connection)
    people = [{**row, "changed": times.iso(row["LastModifiedDate"])} for row in rows[:_MOST]]
    return render("home.html", wanted=wanted, people=people, more=len(rows) > _MOST)


def _found(connection: sqlite3.Connection, wanted: str) -> list[sqlite3.Row]:
    connection.create_function("folded", 1, _folded, deterministic=True)  # SQLite itself folds the case of ASCII only
    values = (_folded(wanted), _MOST + 1)
    return [row for name in PEOPLE for row in connection.execute(_LISTED[name] + _FOUND, values).fetchall()]


def _folded(text: str | None) -> str:
    return (text or "").casefold()


def _latest(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    rows = [row for name in PEOPLE for row in connection.execute(_LISTED[name] + _NEWEST, (12,)).fetchall()]
    return sorted(rows, key=lambda row: row["LastModifiedDate"], reverse=True)[:12]
