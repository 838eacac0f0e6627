"""One opt-out change as the platform reports it, in texts: turned into a Change, or refused with all that is wrong.

Which columns there are and what each takes stands here and nowhere else. Reading files is `writeback_pipeline.intake`'s
work; whether a change may be delivered is decided later, by the origin rule.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from writeback_pipeline.domain.notes import REASON_LIMIT, clean_text
from writeback_pipeline.domain.people import ObjectType, normalise_id, person_ref
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, EARLIEST, OPT_OUT_KINDS, Change, Kind

REQUIRED = ("kind", "object_type", "salesforce_id", "occurred_at")
OPTIONAL = ("reason", "subscriber_id", "email", "delivery_key")
COLUMNS = REQUIRED + OPTIONAL

NAME_LIMIT = 255
"""Longest subscriber_id, email and delivery_key, in characters."""

AHEAD = timedelta(days=2)
"""How far after its intake a resubscribe may be dated: room for a clock or a zone that is a little wrong."""

_BAD_EMAIL = (
    'Bad Email is not a writeback of its own; queue an unsubscribe whose reason is "Bad Email" '
    "(kind unsubscribe, reason Bad Email)"
)
_ACTIVITY = "{kind} is not queued as a change: mailing activity comes from the mailing events"
_TIME_FORM = re.compile(r"\d{4}-?\d\d-?\d\d(?:[T ].+)?", re.ASCII)

_OPT_OUT_KINDS = {kind.value: kind for kind in OPT_OUT_KINDS}
_OBJECT_TYPES = {object_type.value.lower(): object_type for object_type in ObjectType}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_T = TypeVar("_T")


def column_problems(names: Iterable[str]) -> list[str]:
    """What is wrong with the columns of a file: those that are missing, unknown or there twice."""
    given = list(names)
    missing = [name for name in REQUIRED if name not in given]
    unknown = [name for name in dict.fromkeys(given) if name not in COLUMNS]
    twice = [name for name in COLUMNS if given.count(name) > 1]
    problems = []
    if missing:
        problems.append(f"column {', '.join(missing)} is missing: the required columns are {', '.join(REQUIRED)}")
    if unknown:
        shown = ", ".join(_shown(name) for name in unknown)
        problems.append(f"unknown column {shown}: remove or rename it, the columns are {', '.join(COLUMNS)}")
    if twice:
        problems.append(f"column {', '.join(twice)} is there more than once: keep one of each")
    return problems


def parse_change(row: Mapping[str, str], received_at: datetime) -> Change | tuple[str, ...]:
    """The change that a row of texts describes, or everything that is wrong with it, column by column.

    `received_at` is the aware moment of its intake. A column that is absent counts as empty. Columns that are not in
    COLUMNS are the caller's business.
    """
    problems: list[str] = []
    take = partial(_take, row, problems)
    kind = take("kind", opt_out_kind)
    object_type = take("object_type", _object_type)
    identified = bool(row.get("subscriber_id", "").strip() or row.get("email", "").strip())
    salesforce_id = take("salesforce_id", lambda text: _record_id(text, object_type, identified=identified))
    occurred_at = take("occurred_at", lambda text: _occurred_at(text, kind, received_at))
    reason = take("reason", _reason)
    subscriber_id, email, key = take("subscriber_id", _name), take("email", _name), take("delivery_key", _name)
    if problems or kind is None or object_type is None or occurred_at is None:
        return tuple(problems)
    return Change(kind, object_type, salesforce_id, occurred_at, reason, subscriber_id, email, key)


def opt_out_kind(text: str) -> Kind:
    """Unsubscribe or resubscribe; ValueError says why anything else is not queued."""
    word = text.strip().lower()
    if kind := _OPT_OUT_KINDS.get(word):
        return kind
    if re.sub(r"[\W_]", "", word) == "bademail":
        raise ValueError(_BAD_EMAIL)
    if word in ACTIVITY_KINDS:
        raise ValueError(_ACTIVITY.format(kind=word))
    if not word:
        raise ValueError("is empty: it must be unsubscribe or resubscribe")
    raise ValueError(f"{_shown(text)} is not a kind: it must be unsubscribe or resubscribe")


def instant(text: str) -> datetime:
    """The UTC instant of an ISO 8601 time with an offset or Z; ValueError says what is missing."""
    candidate = text.strip().upper()
    if not candidate:
        raise ValueError("is empty: give the time of the change, such as 2026-11-23T09:05:07Z")
    try:
        if not _TIME_FORM.fullmatch(candidate):
            raise ValueError
        moment = datetime.fromisoformat(candidate)
    except ValueError:
        raise ValueError(f"{_shown(text)} is not an ISO 8601 time such as 2026-11-23T09:05:07Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{_shown(text)} has no time zone: add the offset, such as +01:00, or Z for UTC")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{_shown(text)} is outside the calendar: correct the year") from None
    return moment


def _take(row: Mapping[str, str], problems: list[str], column: str, parse: Callable[[str], _T]) -> _T | None:
    """The column's value, or None with the problem noted."""
    try:
        return parse(row.get(column, ""))
    except ValueError as error:
        problems.append(f"{column}: {error}")
        return None


def _object_type(text: str) -> ObjectType:
    if object_type := _OBJECT_TYPES.get(text.strip().lower()):
        return object_type
    shown = _shown(text) if text.strip() else "an empty text"
    raise ValueError(f"must be Contact or Lead, not {shown}")


def _occurred_at(text: str, kind: Kind | None, received_at: datetime) -> datetime:
    """An unsubscribe is taken however wrong its clock; of a resubscribe it must be known what it follows."""
    moment = instant(text)
    if kind is Kind.RESUBSCRIBE and moment < EARLIEST:
        raise ValueError(f"{_shown(text)} is before {EARLIEST.year}: correct the year")
    if kind is Kind.RESUBSCRIBE and moment - received_at > AHEAD:
        raise ValueError(
            f"{_shown(text)} is more than {AHEAD.days} days in the future, where a resubscribe would outrank every "
            "unsubscribe until then: correct the time"
        )
    return moment


def _record_id(text: str, object_type: ObjectType | None, *, identified: bool) -> str | None:
    if not text.strip():
        if identified:
            return None
        raise ValueError("is empty: give the id, or subscriber_id or email for a person without a Salesforce record")
    return normalise_id(text) if object_type is None else person_ref(object_type, text).salesforce_id


def _reason(text: str) -> str | None:
    if len(text) > REASON_LIMIT:
        raise ValueError(f"has {len(text):,} characters: shorten it to {REASON_LIMIT:,}")
    if "\0" in text:
        raise ValueError("contains a NUL character: remove it")
    cleaned = text if text.isprintable() else clean_text(text)
    return cleaned if cleaned.strip() else None


def _name(text: str) -> str | None:
    name = text.strip()
    if len(name) > NAME_LIMIT:
        raise ValueError(f"has {len(name):,} characters: shorten it to {NAME_LIMIT}")
    if not name.isprintable() and _CONTROL.search(name):
        raise ValueError(f"{_shown(name)} contains a control character or half of a character: remove it")
    return name or None


def _shown(text: str) -> str:
    short = text if len(text) <= 40 else text[:37] + "..."
    return repr(short) if short.isprintable() else ascii(short)
