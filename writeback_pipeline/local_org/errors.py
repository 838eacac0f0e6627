"""The one exception with which the organisation refuses something, and the two shapes in which it is told.

Only what several modules say is worded here; a refusal that one module alone can give stands in that module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ApiError(Exception):
    """A refusal: HTTP status, Salesforce error code, message, and the fields to blame (None: not told).

    `details` are further members of the body, which the result of a row among others never has.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        fields: Sequence[str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields
        self.details = details or {}


def as_body(error: ApiError) -> list[dict[str, Any]]:
    """The body of a refused request."""
    told: dict[str, Any] = {**error.details, "message": error.message, "errorCode": error.code}
    if error.fields is not None:
        told["fields"] = list(error.fields)
    return [told]


def as_row(error: ApiError) -> dict[str, Any]:
    """The result of one refused row among others; it never names an id."""
    told = {"statusCode": error.code, "message": error.message, "fields": list(error.fields or ())}
    return {"success": False, "errors": [told]}


def unknown_exception(error_id: str) -> ApiError:
    """Something went wrong inside, or seems to; whether the work was done is not said."""
    message = f"An unexpected error occurred. Please include this ErrorId if you contact support: {error_id}"
    return ApiError(500, "UNKNOWN_EXCEPTION", message)


def not_found() -> ApiError:
    """No such resource or record."""
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def entity_is_deleted() -> ApiError:
    """The record is in the recycle bin."""
    return ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])


def invalid_cross_reference() -> ApiError:
    """The id is well formed, but no such record exists (any more)."""
    return ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])


def converted_lead() -> ApiError:
    """The Lead has become a Contact and can neither be changed nor referred to."""
    return ApiError(400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", [])


def no_such_column(field: str, sobject: str) -> ApiError:
    """The object has no such field, or the session may not see it."""
    return ApiError(400, "INVALID_FIELD", f"No such column '{field}' on sobject of type {sobject}")


def json_parser_error(message: str) -> ApiError:
    """The body is not the JSON that the resource expects."""
    return ApiError(400, "JSON_PARSER_ERROR", message)
