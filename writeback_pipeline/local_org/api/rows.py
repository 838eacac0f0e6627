"""One record per request: create, read, change, delete, and the same by an external id.

What may be written is decided in `dml`; here the words of the request become a call and its outcome an answer.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from writeback_pipeline.local_org import dml, ids, records, recycle_bin, times, values
from writeback_pipeline.local_org.api.describe import basic_information, named
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.errors import ApiError, json_parser_error, not_found
from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.session import Session

_FIRST_VERSION_THAT_TELLS_CREATED = 46


def writer(session: Session, request: Request) -> Session:
    """The session with which this request writes: its headers say whether assignment and duplicate rules matter."""
    rule_header = request.headers.get("sforce-duplicate-rule-header", "").replace(" ", "").lower()
    return replace(
        session,
        assignment_rules=request.headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE",
        allow_duplicates="allowsave=true" in rule_header,
    )


def printed(described: SObject, row: sqlite3.Row, fields: Sequence[Field], root: str) -> dict[str, Any]:
    """A stored row as the API shows it; binary content is shown as the address to fetch it from."""
    url = f"{root}/sobjects/{described.name}/{row['Id']}"
    shown: dict[str, Any] = {"attributes": {"type": described.name, "url": url}}
    for f in fields:
        shown[f.name] = f"{url}/{f.name}" if f.type == "base64" else values.to_json(f, row[f.name])
    return shown


def chosen_fields(described: SObject, names: Sequence[str] | None) -> Sequence[Field]:
    """The fields of those names, Id always among them; all fields for None."""
    if names is None:
        return described.fields
    chosen = {"Id": described.field("Id")}
    for name in names:
        f = described.by_name.get(name.strip().lower())
        if f is None:
            message = (
                f"No such column '{name.strip()}' on entity '{described.name}'. If you are attempting to use a custom "
                "field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the "
                "describe call for the appropriate names."
            )
            raise ApiError(400, "INVALID_FIELD", message)
        chosen[f.name] = f
    return tuple(chosen.values())


def given_values(request: Request, *forbidden: str) -> Mapping[str, Any]:
    """The fields in the request's body; ApiError when it is no object or names a field that the path decides."""
    if not isinstance(request.json, dict):
        raise json_parser_error("The HTTP entity body is required to be a JSON object of fields.")
    named_in_path = {name.lower(): name for name in ("Id", *forbidden)}
    for name in request.json:
        if name.lower() in named_in_path:
            message = f"The {named_in_path[name.lower()]} field should not be specified in the sobject data."
            raise ApiError(400, "INVALID_FIELD", message)
    return request.json


def created(described: SObject, record_id: str, request: Request, *, tell_created: bool = False) -> Response:
    """The answer to a create."""
    body: dict[str, Any] = {"id": record_id, "success": True, "errors": []}
    if tell_created:
        body["created"] = True
    return Response(201, body, {"Location": f"{request.root}/sobjects/{described.name}/{record_id}"})


def _create(session: Session, request: Request) -> Response:
    described = named(session, request)
    given = given_values(request)
    with records.atomic(session.connection):
        record_id = dml.create(writer(session, request), described, given)
    return created(described, record_id, request)


def _read(session: Session, request: Request) -> Response:
    described = named(session, request)
    record_id = _id_in_path(request)
    row = records.fetch(session.connection, described, record_id)
    return _shown(described, row, request)


def _change(session: Session, request: Request) -> Response:
    described = named(session, request)
    record_id = _id_in_path(request)
    given = given_values(request)
    with records.atomic(session.connection):
        _check_unmodified(session, described, record_id, request)
        dml.update(writer(session, request), described, record_id, given)
    return Response(204)


def _delete(session: Session, request: Request) -> Response:
    described = named(session, request)
    record_id = _id_in_path(request)
    with records.atomic(session.connection):
        recycle_bin.delete(session, described, record_id)
    return Response(204)


def _read_by_key(session: Session, request: Request) -> Response:
    described = named(session, request)
    matches = _matches(session, described, request)
    if len(matches) > 1:
        return _several(described, [row["Id"] for row in matches], request)
    return _shown(described, matches[0] if matches else None, request)


def _upsert(session: Session, request: Request) -> Response:
    described = named(session, request)
    key = key_field(described, request.params["field"])
    given = given_values(request, key.name)
    update_only = request.query.get("updateOnly", "false").lower() == "true"
    try:
        with records.atomic(session.connection):
            record_id, is_new = dml.upsert(
                writer(session, request), described, key, request.params["value"], given, update_only=update_only
            )
    except ApiError as error:
        if error.status != 300:
            raise
        return _several(described, error.fields or (), request)
    tells = request.version >= _FIRST_VERSION_THAT_TELLS_CREATED
    if is_new:
        return created(described, record_id, request, tell_created=tells)
    if not tells:
        return Response(204)
    return Response(200, {"id": record_id, "success": True, "errors": [], "created": False})


def _delete_by_key(session: Session, request: Request) -> Response:
    described = named(session, request)
    with records.atomic(session.connection):
        matches = _matches(session, described, request)
        if len(matches) > 1:
            return _several(described, [row["Id"] for row in matches], request)
        if not matches:
            raise not_found()
        recycle_bin.delete(session, described, matches[0]["Id"])
    return Response(204)


def _content(session: Session, request: Request) -> Response:
    described = named(session, request)
    row = records.fetch(session.connection, described, _id_in_path(request))
    f = described.by_name.get("content")
    if f is None or f.type != "base64" or row is None or row["IsDeleted"]:
        raise not_found()
    return Response(200, base64.b64decode(row["Content"] or ""))


def key_field(described: SObject, name: str) -> Field:
    """The field of that name if records can be addressed by it; 404 otherwise."""
    f = described.by_name.get(name.lower())
    if f is None or not (f.external_id or f.id_lookup):
        raise _no_such_key(name)
    return f


def _id_in_path(request: Request) -> str:
    given = request.params["record_id"]
    if len(given) not in (15, 18) or not given.isalnum():
        raise _no_such_key(given)
    return ids.normalise(given) or given


def _no_such_key(name: str) -> ApiError:
    message = f"Provided external ID field does not exist or is not accessible: {name}"
    return ApiError(404, "NOT_FOUND", message)


def _matches(session: Session, described: SObject, request: Request) -> list[sqlite3.Row]:
    key = key_field(described, request.params["field"])
    return dml.find(session.connection, described, key, request.params["value"])


def _shown(described: SObject, row: sqlite3.Row | None, request: Request) -> Response:
    if row is None or (described.has("IsDeleted") and row["IsDeleted"]):
        raise not_found()
    names = request.query["fields"].split(",") if request.query.get("fields") else None
    return Response(200, printed(described, row, chosen_fields(described, names), request.root))


def _several(described: SObject, found: Sequence[str], request: Request) -> Response:
    return Response(300, [f"{request.root}/sobjects/{described.name}/{record_id}" for record_id in found])


def _check_unmodified(session: Session, described: SObject, record_id: str, request: Request) -> None:
    header = request.headers.get("if-unmodified-since")
    if header is None:
        return
    limit = times.read_http_date(header)
    if limit is None:
        raise ApiError(400, "INVALID_HTTP_HEADER", f"If-Unmodified-Since is not an HTTP date: {header}")
    if dml.existing(session.connection, described, record_id)["LastModifiedDate"] > limit:
        message = "The record has been modified since the time given in If-Unmodified-Since"
        raise ApiError(412, "PRECONDITION_FAILED", message)


ROUTES = [
    Route("sobjects/{sobject}", {"GET": basic_information, "POST": _create}),
    Route("sobjects/{sobject}/{record_id}", {"GET": _read, "PATCH": _change, "DELETE": _delete}),
    Route("sobjects/{sobject}/{record_id}/Content", {"GET": _content}),
    Route("sobjects/{sobject}/{field}/{value}", {"GET": _read_by_key, "PATCH": _upsert, "DELETE": _delete_by_key}),
]
