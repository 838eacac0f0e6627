"""Up to 200 records per request, each with its own outcome, told in the order of the request.

Rows share nothing but the call, unless allOrNone makes them share their fate. What they may not do together is in
`row_sets`, one row is the business of `dml`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from writeback_pipeline.local_org import fault_rows, ids, records, row_sets
from writeback_pipeline.local_org.api.describe import named
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.api.rows import chosen_fields, key_field, printed, writer
from writeback_pipeline.local_org.errors import ApiError, as_row, json_parser_error
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.schema import by_key_prefix
from writeback_pipeline.local_org.session import Session

_MOST_READ = 2_000
_MOST_TYPE_RUNS = 10

Outcome = dict[str, Any]


class _RolledBackError(Exception):
    """Undoes the transaction of an all-or-none request in which a row failed."""


def _create(session: Session, request: Request) -> Response:
    session = writer(session, request)
    write = row_sets.creator(session)

    def create(record: Any) -> Outcome:
        record_id, _ = write(*_typed(session, record))
        return _done(record_id)

    given, all_or_none = _given(request)
    return _each(session, all_or_none, given, create)


def _update(session: Session, request: Request) -> Response:
    session = writer(session, request)
    write = row_sets.updater(session)

    def update(record: Any) -> Outcome:
        record_id, _ = write(*_typed(session, record))
        return _done(record_id)

    given, all_or_none = _given(request)
    return _each(session, all_or_none, given, update, keeps_id=True)


def _upsert(session: Session, request: Request) -> Response:
    session = writer(session, request)
    target = named(session, request)
    given, all_or_none = _given(request)
    write = row_sets.upserter(session, key_field(target, request.params["field"]), given)

    def upsert(record: Any) -> Outcome:
        described, values = _typed(session, record)
        if described.name != target.name:
            raise ApiError(400, "INVALID_TYPE", f"record is not of type {target.name}", [])
        record_id, created = write(described, values)
        return _done(record_id, created=created)

    return _each(session, all_or_none, given, upsert)


def _delete(session: Session, request: Request) -> Response:
    given = [part for part in request.query.get("ids", "").split(",") if part]
    _check_count(given, row_sets.MOST_ROWS)
    write = row_sets.deleter(session)

    def delete(record_id: str) -> Outcome:
        normalised = ids.normalise(record_id)
        described = by_key_prefix(normalised[:3]) if normalised else None
        if described is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {record_id}", [])
        deleted, _ = write(described, {"Id": record_id})
        return _done(deleted)

    all_or_none = request.query.get("allOrNone", "false").lower() == "true"
    return _each(session, all_or_none, given, delete, keeps_id=True)


def _read_by_body(session: Session, request: Request) -> Response:
    body = request.json if isinstance(request.json, dict) else {}
    return _read(session, request, body.get("ids"), body.get("fields"))


def _read_by_url(session: Session, request: Request) -> Response:
    lists = (request.query.get(name) for name in ("ids", "fields"))
    return _read(session, request, *(text.split(",") if text else None for text in lists))


def _read(session: Session, request: Request, given: Any, names: Any) -> Response:
    described = named(session, request)
    if not isinstance(given, list) or not isinstance(names, list) or not names:
        raise json_parser_error("The lists ids and fields are required")
    _check_count(given, _MOST_READ)
    fields = chosen_fields(described, [str(name) for name in names])
    wanted = [ids.normalise(record_id) for record_id in given]
    columns = ", ".join(f.name for f in fields)
    alive = "AND IsDeleted = 0" if described.has("IsDeleted") else ""
    marks = ", ".join("?" * len(wanted))
    found = session.connection.execute(f"SELECT {columns} FROM {described.name} WHERE Id IN ({marks}) {alive}", wanted)
    by_id = {row["Id"]: printed(described, row, fields, request.root) for row in found}
    return Response(200, [by_id.get(record_id) for record_id in wanted])


def _each(
    session: Session,
    all_or_none: bool,
    given: Iterable[Any],
    write: Callable[[Any], Outcome],
    *,
    keeps_id: bool = False,
) -> Response:
    outcomes: list[Outcome] = []
    try:
        with records.atomic(session.connection):
            for record in given:
                try:
                    outcomes.append(write(record))
                except ApiError as error:
                    outcomes.append(as_row(error))
            if all_or_none and not all(outcome["success"] for outcome in outcomes):
                raise _RolledBackError
    except _RolledBackError:
        outcomes = [_rolled_back(outcome, keeps_id) if outcome["success"] else outcome for outcome in outcomes]
    return Response(200, fault_rows.counted(session, outcomes))


def _rolled_back(outcome: Outcome, keeps_id: bool) -> Outcome:
    message = "Record rolled back because not all records were valid and the request was using AllOrNone header"
    row = as_row(ApiError(400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", message, []))
    return {"id": outcome["id"], **row} if keeps_id else row


def _done(record_id: str, **more: bool) -> Outcome:
    return {"id": record_id, "success": True, "errors": [], **more}


def _given(request: Request) -> tuple[list[Any], bool]:
    """The records of the body, and whether they share their fate."""
    body = request.json if isinstance(request.json, dict) else {"records": None}
    given = body.get("records", [])
    if not isinstance(given, list):
        raise json_parser_error("The list records is required")
    _check_count(given, row_sets.MOST_ROWS)
    runs = sum(1 for _ in groupby(_type_names(given)))
    if runs > _MOST_TYPE_RUNS:
        message = (
            f"Cannot have more than {_MOST_TYPE_RUNS} chunks in a single operation. Please rearrange the data to "
            "reduce chunking."
        )
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    return given, body.get("allOrNone") is True


def _check_count(given: Sequence[Any], most: int) -> None:
    if not given:
        raise ApiError(400, "REQUIRED_FIELD_MISSING", "At least 1 record is required")
    if len(given) > most:
        message = f"record limit reached. cannot submit more than {most} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _type_names(given: Iterable[Any]) -> Iterator[str]:
    for record in given:
        attributes = record.get("attributes") if isinstance(record, dict) else None
        yield str(attributes.get("type", "")) if isinstance(attributes, dict) else ""


def _typed(session: Session, record: Any) -> tuple[SObject, dict[str, Any]]:
    (name,) = _type_names([record])
    if not name:
        raise json_parser_error("An attributes object with the sObject's type is required")
    try:
        return session.visible(name), {field: value for field, value in record.items() if field != "attributes"}
    except KeyError:
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.") from None


ROUTES = [
    Route("composite/sobjects", {"POST": _create, "PATCH": _update, "DELETE": _delete}),
    Route("composite/sobjects/{sobject}", {"GET": _read_by_url, "POST": _read_by_body}),
    Route("composite/sobjects/{sobject}/{field}", {"PATCH": _upsert}),
]
