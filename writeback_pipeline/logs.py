"""Log lines: how they are written, and where those of this process go. What is worth a line is said where it happens.

Each line is an event with fields: counts, durations, ids of runs, batches, jobs and records. On standard error they are
JSON, one object a line, or at a terminal text for people. In a Dagster run they are in the run's log, too
(`python_logs` in dagster.yaml). Whatever goes out here passes the redactor, lines of libraries and tracebacks included.

Standard library only: structlog would add half a second to every command.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from writeback_pipeline.bridges import CHOSEN
from writeback_pipeline.domain.trouble import Trouble
from writeback_pipeline.redaction import redacted

FORMAT = "WRITEBACK_LOG_FORMAT"
LEVEL = "WRITEBACK_LOG_LEVEL"

_OURS = "writeback_pipeline"
_FIELDS = "fields"


def tell(log: logging.Logger, event: str, **fields: object) -> None:
    """One line about something ordinary; fields that are None are left out."""
    if log.isEnabledFor(logging.INFO):
        given = {name: value for name, value in fields.items() if value is not None}
        words = [event, *(f"{name}={value}" for name, value in given.items())]
        log.info("%s", redacted(" ".join(words)), extra={_FIELDS: {"event": event, **given}})


class LogsMisconfigured(Trouble):
    """WRITEBACK_LOG_FORMAT or WRITEBACK_LOG_LEVEL has a value that there is not; the message says which there are."""


def configure(variables: Mapping[str, str], default_level: str) -> None:
    """Send this process's lines to standard error; done again, it replaces what it did. Raises LogsMisconfigured."""
    level = (variables.get(LEVEL) or default_level).upper()
    form = variables.get(FORMAT) or ("text" if sys.stderr.isatty() else "json")
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise LogsMisconfigured(f"{LEVEL} is {level.lower()}: it has to be debug, info, warning or error")
    if form not in _FORMATTERS:
        raise LogsMisconfigured(f"{FORMAT} is {form}: it has to be {' or '.join(_FORMATTERS)}")
    root, ours = logging.getLogger(), logging.getLogger(_OURS)
    for earlier in [each for each in root.handlers if isinstance(each, _ToStandardError)]:
        root.removeHandler(earlier)
    handler = _ToStandardError(level)
    handler.setFormatter(_FORMATTERS[form]())
    root.addHandler(handler)
    ours.setLevel(level)


def is_configured() -> bool:
    """Whether this process's lines go anywhere yet."""
    return any(isinstance(each, _ToStandardError) for each in logging.getLogger().handlers)


class _ToStandardError(logging.Handler):
    """Writes to what is standard error at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; what goes wrong with it stops nobody."""
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object; everything that is not ASCII is escaped."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
        }
        if bridge := os.environ.get(CHOSEN):
            line["bridge"] = bridge
        fields = getattr(record, _FIELDS, None) or {"event": record.getMessage()}
        line |= {name: redacted(value) if isinstance(value, str) else value for name, value in fields.items()}
        if record.exc_info:
            line["error"] = _traceback(self, record)
        return json.dumps(line, default=lambda value: redacted(str(value)))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Time, level and what happened; a traceback below."""
        at = datetime.fromtimestamp(record.created, UTC)
        line = f"{at:%H:%M:%S} {record.levelname.lower():<7} {redacted(record.getMessage())}"
        return "\n".join([line, *_traceback(self, record)] if record.exc_info else [line])


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    assert record.exc_info is not None
    return [redacted(line) for line in formatter.formatException(record.exc_info).splitlines()]


_FORMATTERS: Mapping[str, type[logging.Formatter]] = {"json": _Json, "text": _Text}
