"""Up to 200 records per request, each with its own outcome, told in the order of the request.

Rows share nothing but the call, unless allOrNone makes them share their fate. One row is the business of `dml`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from writeback_pipeline.local_org import dml, fault_rows, ids, records, recycle_bin
from writeback_pipeline.local_org.api.describe import named
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.api.rows import chosen_fields, key_field, printed, writer
from writeback_pipeline.local_org.errors import ApiError, as_row, json_parser_error
from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.schema import by_key_prefix
from writeback_pipeline.local_org.session import Session

_MOST_WRITTEN, _MOST_READ = 200, 2_000
_MOST_TYPE_RUNS = 10
_MOST_UPDATES_OF_ONE_RECORD = 12

Outcome = dict[str, Any]


class _RolledBackError(Exception):
    """Undoes the transaction of an all-or-none request in which a row failed."""


def _create(session: Session, request: Request) -> Response:
    session = writer(session, request)

    def create(record: Any) -> Outcome:
        described, values = _typed(session, record)
        return _done(dml.create(session, described, values))

    given, all_or_none = _given(request)
    return _each(session, all_or_none, given, create)


def _update(session: Session, request: Request) -> Response:
    session = writer(session, request)
    seen: Counter[str] = Counter()

    def update(record: Any) -> Outcome:
        described, values = _typed(session, record)
        record_id = next((values.pop(name) for name in list(values) if name.lower() == "id"), None)
        if not record_id:
            raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
        seen[str(record_id)[:15]] += 1
        if seen[str(record_id)[:15]] > _MOST_UPDATES_OF_ONE_RECORD:
            message = (
                f"Maximum number of duplicate updates in one batch ({_MOST_UPDATES_OF_ONE_RECORD} allowed). Attempt to "
                f"update Id more than once in this Api call: {str(record_id)[:15]}"
            )
            raise ApiError(400, "DUPLICATE_VALUE", message, [])
        return _done(dml.update(session, described, record_id, values))

    given, all_or_none = _given(request)
    return _each(session, all_or_none, given, update, keeps_id=True)


def _upsert(session: Session, request: Request) -> Response:
    session = writer(session, request)
    target = named(session, request)
    key = key_field(target, request.params["field"])
    given, all_or_none = _given(request)
    times = Counter(_fold(key, value) for value in (_key_value(record, key) for record in given) if value)

    def upsert(record: Any) -> Outcome:
        described, values = _typed(session, record)
        if described.name != target.name:
            raise ApiError(400, "INVALID_TYPE", f"record is not of type {target.name}", [])
        value = next((values.pop(name) for name in list(values) if name.lower() == key.name.lower()), None)
        if not value and key.type == "id":
            return _done(dml.create(session, described, values), created=True)
        if not value:
            raise ApiError(400, "MISSING_ARGUMENT", f"{key.name} not specified", [])
        if times[_fold(key, value)] > 1:
            raise ApiError(400, "DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [key.name])
        try:
            record_id, created = dml.upsert(session, described, key, value, values)
        except ApiError as error:
            if error.status == 300:  # here the ids are no fields to blame
                error.fields = []
            raise
        return _done(record_id, created=created)

    return _each(session, all_or_none, given, upsert)


def _delete(session: Session, request: Request) -> Response:
    given = [part for part in request.query.get("ids", "").split(",") if part]
    _check_count(given, _MOST_WRITTEN)

    def delete(record_id: str) -> Outcome:
        normalised = ids.normalise(record_id)
        described = by_key_prefix(normalised[:3]) if normalised else None
        if described is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {record_id}", [])
        return _done(recycle_bin.delete(session, described, record_id))

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
    _check_count(given, _MOST_WRITTEN)
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


def _key_value(record: Any, key: Field) -> Any:
    items = record.items() if isinstance(record, dict) else ()
    return next((value for name, value in items if name.lower() == key.name.lower()), None)


def _fold(key: Field, value: Any) -> str:
    return str(value) if key.case_sensitive or key.type == "id" else str(value).lower()


ROUTES = [
    Route("composite/sobjects", {"POST": _create, "PATCH": _update, "DELETE": _delete}),
    Route("composite/sobjects/{sobject}", {"GET": _read_by_url, "POST": _read_by_body}),
    Route("composite/sobjects/{sobject}/{field}", {"PATCH": _upsert}),
]
