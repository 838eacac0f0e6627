"""What a literal of a query means for the field it is compared with: text, ids, numbers, booleans, dates and times.

Values come out as the organisation stores them (booleans 0/1, times as UTC text), ready to be bound.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from writeback_pipeline.local_org import ids
from writeback_pipeline.local_org.fields import Field
from writeback_pipeline.local_org.soql_errors import QueryError
from writeback_pipeline.local_org.soql_grammar import Literal

MAX_LITERAL_CHARACTERS = 4_000
ID_TYPES = ("id", "reference")
TEXT_TYPES = ("string", "picklist", "combobox", "textarea", "email", "phone", "url")

Value = str | int | float | None
DayRange = tuple[str, str]
"""First moment in the range and first moment after it, as stored."""
Fail = Callable[[str, str], QueryError]
"""Makes the error of the comparison at hand from a code and a message."""

_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"} | {c: c for c in "\"'\\_%"}
_DAYS = {"YESTERDAY": (-1, 0), "TODAY": (0, 1), "TOMORROW": (1, 2)}
_OTHER_NAMES = {"datetime": "dateTime", "currency": "double"} | dict.fromkeys(TEXT_TYPES, "string")
"""Types that error messages call by another name than describe does."""


def value_of(field: Field, literal: Literal, fail: Fail) -> Value | DayRange:
    """What a value of `field` has to be to equal `literal`; an empty text is null, as Salesforce stores it."""
    word = literal.text.upper() if literal.kind == "WORD" else ""
    if word == "NULL":
        return 0 if field.type == "boolean" else None
    if field.type in ID_TYPES and literal.kind == "STRING":
        return _record_id(literal, fail)
    if field.type in TEXT_TYPES and literal.kind == "STRING":
        text = decoded(literal, fail)
        return (text if field.case_sensitive else text.casefold()) or None
    if field.type == "boolean" and word in ("TRUE", "FALSE"):
        return int(word == "TRUE")
    if field.type in ("int", "double", "currency") and literal.kind == "NUMBER":
        return float(literal.text)
    if field.type in ("date", "datetime"):
        if literal.kind == field.type.upper():
            return _moment(literal, fail)
        days = _days(word)
        if days:
            return _stored(days[0], field), _stored(days[1], field)
    raise _mismatch(field, fail)


def decoded(literal: Literal, fail: Fail, *, as_pattern: bool = False) -> str:
    r"""The text between the quotes with its escapes undone; a pattern keeps `\%`, `\_` and `\\` escaped."""
    raw = literal.text[1:-1]
    if len(raw) > MAX_LITERAL_CHARACTERS:
        raise fail("MALFORMED_QUERY", f"string literal exceeds {MAX_LITERAL_CHARACTERS} characters")

    def unescaped(match: re.Match[str]) -> str:
        escape = match.group(1)
        if as_pattern and escape in "%_\\":
            return match.group()
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape.lower() not in _PLAIN_ESCAPES:
            raise fail("MALFORMED_QUERY", f"Illegal character sequence '\\{escape}' in string literal.")
        return _PLAIN_ESCAPES[escape.lower()]

    # \u escapes may spell the two halves of one character; a lone half is no text, and neither is NUL.
    try:
        text = _ESCAPE.sub(unescaped, raw).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise fail("MALFORMED_QUERY", "Illegal character sequence in string literal.")
    return text


def _record_id(literal: Literal, fail: Fail) -> str | None:
    text = decoded(literal, fail)
    full = ids.normalise(text)
    if text and full is None:
        raise fail("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
    return full


def _moment(literal: Literal, fail: Fail) -> str:
    try:
        if literal.kind == "DATE":
            return date.fromisoformat(literal.text).isoformat()
        return _instant(datetime.fromisoformat(literal.text.upper()).astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise fail("MALFORMED_QUERY", f"Invalid date: {literal.text}") from error


def _days(word: str) -> tuple[datetime, datetime] | None:
    """The days that a date function covers, in UTC; None when the word is no date function."""
    name, _, count = word.partition(":")
    if word in _DAYS:
        first, after = _DAYS[word]
    elif count and name == "LAST_N_DAYS":
        first, after = -int(count), 1
    elif count and name == "NEXT_N_DAYS":
        first, after = 1, int(count) + 1
    else:
        return None
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=first), today + timedelta(days=after)


def _stored(day: datetime, field: Field) -> str:
    return day.date().isoformat() if field.type == "date" else _instant(day)


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _mismatch(field: Field, fail: Fail) -> QueryError:
    kind = _OTHER_NAMES.get(field.type, field.type)
    quoting = "should" if field.type in TEXT_TYPES + ID_TYPES else "should not"
    return fail(
        "INVALID_FIELD",
        f"value of filter criterion for field '{field.name}' must be of type {kind} "
        f"and {quoting} be enclosed in quotes",
    )
