"""The few words in which the two databases differ. A statement that both take as it stands uses none of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one database says it.

    `instant` puts a TIMESTAMP into ISO 8601 with Z; `json_object` makes the text of one object from expressions by
    name; `incarnation` is an expression that changes when the database was put back or another server took over;
    `unless_known` ends an INSERT that other transactions may be making too. `looks_up_lists`: indexes serve lists of
    values, and no arrays. `takes_lists_as_json`: a long list is bound sooner as text. `keeps_counts`: see `counts`.
    """

    name: str
    instant: str
    json_object: Callable[[Mapping[str, str]], str]
    incarnation: str
    unless_known: str
    locks_rows: bool
    looks_up_lists: bool
    takes_lists_as_json: bool
    keeps_counts: bool


def _duckdb_object(shown: Mapping[str, str]) -> str:
    return f"to_json(struct_pack({', '.join(f'{name} := {value}' for name, value in shown.items())}))::TEXT"


def _postgresql_object(shown: Mapping[str, str]) -> str:
    fields = ", ".join(f"{value} AS {name}" for name, value in shown.items())
    return f"(SELECT row_to_json(o)::TEXT FROM (SELECT {fields}) o)"


DUCKDB = Dialect(
    name="DuckDB",
    instant="replace(strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000', '')",
    json_object=_duckdb_object,
    incarnation="'a file'",
    unless_known="",  # one transaction at a time; the clause takes milliseconds per row
    locks_rows=False,
    looks_up_lists=True,
    takes_lists_as_json=True,
    keeps_counts=False,
)

POSTGRESQL = Dialect(
    name="PostgreSQL",
    instant="replace(to_char({}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '.000000', '')",
    json_object=_postgresql_object,
    # The cluster, its timeline (a promoted standby and a recovery to a point in time begin a new one), the table.
    incarnation=(
        "concat_ws('/', (SELECT system_identifier FROM pg_control_system()), "
        "left(pg_walfile_name(pg_current_wal_lsn()), 8), 'incarnation'::regclass::oid)"
    ),
    unless_known=" ON CONFLICT DO NOTHING",
    locks_rows=True,
    looks_up_lists=False,
    takes_lists_as_json=False,
    keeps_counts=True,
)
