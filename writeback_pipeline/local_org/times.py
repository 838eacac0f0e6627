"""Times as the API prints and reads them: `2026-05-01T07:25:37.000+0000`, always UTC, whole seconds.

Such texts sort like the instants that they name, which is why storage keeps them as they are.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)")


def stamp(seconds: float) -> str:
    """The text of an instant given in seconds since 1970."""
    return _text(datetime.fromtimestamp(seconds, UTC))


def iso(text: str) -> str:
    """A stamp in the short form of OAuth answers, `2026-05-06T09:49:19Z`."""
    return text[:19] + "Z"


def read_datetime(text: str) -> str | None:
    """The stamp of an ISO 8601 time with an offset, or None when the text is not one."""
    if not _ISO.fullmatch(text):
        return None
    try:
        return _text(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def read_date(text: str) -> str | None:
    """The same calendar date `YYYY-MM-DD`, or None when the text is not one."""
    try:
        return date.fromisoformat(text).isoformat() if len(text) == 10 else None
    except ValueError:
        return None


def read_http_date(text: str) -> str | None:
    """The stamp of an HTTP header's date, or None when the text is not one."""
    try:
        return _text(parsedate_to_datetime(text).astimezone(UTC))
    except ValueError:
        return None


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.000+0000"
