"""From the JSON value of one field to what is stored: type, length, form; and back again for printing.

Looks at one value and its field; whether a record may be written at all is decided in `dml`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from writeback_pipeline.local_org import ids, times
from writeback_pipeline.local_org.errors import ApiError, json_parser_error
from writeback_pipeline.local_org.fields import Field

_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\\\]]+@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z0-9]{2,}")
_TOKENS: dict[type, str] = {
    str: "VALUE_STRING", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", dict: "START_OBJECT",
    list: "START_ARRAY", type(None): "VALUE_NULL",
}  # fmt: skip


def to_stored(f: Field, value: Any) -> Any:
    """The value as its column holds it; an empty text is null. Refuses what the field cannot take."""
    if value is None and f.type != "boolean":
        return None
    stored = _READERS[f.type](f, value)
    if f.restricted and stored not in (None, *f.picklist_values):
        raise ApiError(
            400,
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{f.label}: bad value for restricted picklist field: {stored}",
            [f.name],
        )
    return stored


def to_json(f: Field, stored: Any) -> Any:
    """The value as the API prints it."""
    return bool(stored) if f.type == "boolean" else stored


def _text(f: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        raise _mistyped("string", value)
    kept = value if f.type == "textarea" else value.strip()
    if len(kept) > f.length:
        message = f"{f.label}: data value too large: {kept} (max length={f.length})"
        raise ApiError(400, "STRING_TOO_LONG", message, [f.name])
    return kept or None


def _email(f: Field, value: Any) -> str | None:
    address = _text(f, value)
    if address is not None and not _EMAIL.fullmatch(address):
        message = f"{f.label}: invalid email address: {address}"
        raise ApiError(400, "INVALID_EMAIL_ADDRESS", message, [f.name])
    return address


def _boolean(_: Field, value: Any) -> int:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return int(value.lower() == "true")
    if not isinstance(value, bool):
        raise _mistyped("boolean", value)
    return int(value)


def _integer(_: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mistyped("int", value)
    return value


def _number(_: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mistyped("double", value)
    return float(value)


def _date(_: Field, value: Any) -> str:
    read = times.read_date(value) if isinstance(value, str) else None
    if read is None:
        raise _mistyped("date", value)
    return read


def _datetime(_: Field, value: Any) -> str:
    read = times.read_datetime(value) if isinstance(value, str) else None
    if read is None:
        raise _mistyped("datetime", value)
    return read


def _reference(f: Field, value: Any) -> str | None:
    if value == "":
        return None
    record_id = ids.normalise(value)
    if record_id is None:
        raise ApiError(400, "MALFORMED_ID", f"{f.label}: id value of incorrect type: {value}", [f.name])
    return record_id


def _base64(_: Field, value: Any) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _mistyped("base64Binary", value) from None
    return str(value)


def _mistyped(wanted: str, value: Any) -> ApiError:
    token = f"VALUE_{str(value).upper()}" if isinstance(value, bool) else _TOKENS[type(value)]
    shown = "null" if value is None else value
    return json_parser_error(
        f"Cannot deserialize instance of {wanted} from {token} value {shown} or request may be missing a required "
        "field at [line:1, column:1]"
    )


_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "string": _text, "textarea": _text, "picklist": _text, "combobox": _text, "phone": _text, "url": _text,
    "email": _email, "boolean": _boolean, "int": _integer, "double": _number, "currency": _number,
    "date": _date, "datetime": _datetime, "reference": _reference, "id": _reference, "base64": _base64,
}  # fmt: skip
