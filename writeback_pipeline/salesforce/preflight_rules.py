"""What the organisation's answers to a look before the first write mean, a finding each.

Pure: descriptions, limits and lists of rules in, findings out. Which requests are made is decided in `preflight`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from writeback_pipeline.domain.activity import CREATE_ONLY_FIELDS, KEY_FIELD
from writeback_pipeline.domain.findings import Finding, Level
from writeback_pipeline.domain.outcomes import PERMISSION_SET
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.planning import OPT_OUT_FIELD
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.salesforce import key_records
from writeback_pipeline.salesforce.calls import API_VERSION, Reply

AREA = "Salesforce"
PEOPLE = [kind.value for kind in ObjectType]

ASSIGNMENT_RULES, DUPLICATE_RULES, VALIDATION_RULES = "assignment rules", "duplicate rules", "validation rules"
OF_ONE_REQUEST = ("INVALID_FIELD", "INVALID_TYPE", "NOT_FOUND")
"""Refusals that say nothing about other requests."""

LARGEST_SKEW = timedelta(seconds=30)
SCARCE = 0.1
"""A limit of which no more than this share is left is worth a warning."""

_TASK_FIELDS = ("WhoId", "Subject", "Status", "Priority", "ActivityDate", "Description", *CREATE_ONLY_FIELDS)
_ASSIGN = f"Deploy salesforce_package and assign its permission set {PERMISSION_SET} to the integration user."
_NOTES = {
    NoteObject.NOTE: "Assign the permission set, or set note_object=ContentNote where only Enhanced Notes are in use.",
    NoteObject.CONTENT_NOTE: "Turn Enhanced Notes on in Setup, Notes Settings, or set note_object=Note.",
}
_NOT_READABLE = "not readable with the integration user's rights; Setup shows them to an administrator"
_EFFECT = {
    ASSIGNMENT_RULES: "every write says that they are not to run",
    DUPLICATE_RULES: "writes are saved in spite of alerts; one that blocks fails its row",
    VALIDATION_RULES: "a person whose record breaks one is listed as failed, with the rule's message",
}

Described = Mapping[str, Any]
Answers = Mapping[str, Reply | None]


def login(organisation_id: str, pinned: str | None) -> list[Finding]:
    """The organisation that let us in, and whether it is the one that the ledger belongs to."""
    told = f"let in to organisation {organisation_id}"
    if pinned is None or pinned == organisation_id:
        return [_ok("login", told if pinned else f"{told}; the first delivery ties the ledger to it")]
    remedy = "Correct SALESFORCE_URL and the credentials, or use a WRITEBACK_HOME of its own for this organisation."
    wrong = _failure("login", f"{told}, but the ledger belongs to {pinned}", remedy)
    return [replace(wrong, elsewhere=True)]


def versions_and_clock(versions: Sequence[str], theirs: datetime | None, now: datetime) -> list[Finding]:
    """Whether the organisation speaks our version of the API, and how far its clock is from ours."""
    if API_VERSION in versions:
        found = [_ok("API version", f"{API_VERSION}; on offer are {versions[0]} to {versions[-1]}")]
    else:
        offered = f"{versions[0]} to {versions[-1]}" if versions else "none"
        told = f"{API_VERSION} is not among those on offer ({offered})"
        found = [_failure("API version", told, "Install a release of this project that speaks one of them.")]
    if theirs is None:
        return found
    skew = now - theirs
    seconds = round(abs(skew).total_seconds())
    if abs(skew) <= LARGEST_SKEW:
        return [*found, _ok("clock", f"{seconds} s from Salesforce's")]
    told = f"{seconds} s {'ahead of' if skew > timedelta() else 'behind'} Salesforce's"
    return [*found, _warning("clock", told, "Set this machine's clock by NTP: signed logins are refused otherwise.")]


def objects(answers: Answers, settings: WritebackSettings) -> list[Finding]:
    """Whether everything that delivery writes is there and may be written."""
    described = {name: _described(reply) for name, reply in answers.items()}
    note = settings.note_object
    found = [
        _people(described),
        _opt_out(described),
        replace(_created(described[note.value], note.value, "notes", _NOTES[note]), partial=True),
    ]
    if settings.activity_enabled:
        found += _tasks(described["Task"])
    if settings.key_records:
        found.append(replace(_key_records(described[key_records.OBJECT]), partial=True))
    return found


def limits(reply: Reply | None, settings: WritebackSettings) -> list[Finding]:
    """What is left of the day's API requests and of the storage."""
    body = _described(reply) or {}
    ours = f", of which delivery may use {settings.api_budget_share:.0%} a day"
    return [
        _limit("API requests", body.get("DailyApiRequests"), "", ours, "They come back within 24 hours."),
        _limit(
            "storage", body.get("DataStorageMB"), " MB", "; a Note or Task takes about 2 KB", "Free some or buy more."
        ),
    ]


def rules_in_force(answers: Answers) -> list[Finding]:
    """The organisation's own rules that may change or refuse a write, where they can be read."""
    return [_ok(subject, _rules(answers.get(subject), effect)) for subject, effect in _EFFECT.items()]


def unreachable(trouble: OrganisationUnavailable) -> Finding:
    """Trouble that kept the rest from being looked at."""
    told = f"{trouble.code}: {trouble.message}".removesuffix(".")  # a finding is no sentence
    return _failure("organisation", told, trouble.advice, passing=trouble.passing)


def _people(described: Mapping[str, Described | None]) -> Finding:
    missing = [name for name in PEOPLE if not (described[name] or {}).get("updateable")]
    if missing:
        told = f"the integration user may not edit {_and(missing)}"
        return _failure("people", told, _ASSIGN, partial=len(missing) < len(PEOPLE))
    return _ok("people", f"{_and(PEOPLE)} may be edited")


def _opt_out(described: Mapping[str, Described | None]) -> Finding:
    """One finding for all objects: it is one setting, with one remedy."""
    fields = {
        name: _fields(description).get(OPT_OUT_FIELD) for name, description in described.items() if name in PEOPLE
    }
    hidden = [name for name, field in fields.items() if field is None]
    read_only = [name for name, field in fields.items() if field and not field.get("updateable")]
    told = [f"hidden on {_and(hidden)}"] if hidden else []
    told += [f"read-only on {_and(read_only)}"] if read_only else []
    if told:
        partial = len(hidden) + len(read_only) < len(PEOPLE)
        return _failure("Email Opt Out", f"{OPT_OUT_FIELD} is {' and '.join(told)}", _ASSIGN, partial=partial)
    return _ok("Email Opt Out", f"may be read and edited on {_and(PEOPLE)}")


def _tasks(described: Described | None) -> list[Finding]:
    writable = _created(described, "Task", "activity", f"{_ASSIGN} Or set activity_enabled=false.")
    if writable.level is not Level.OK:
        return [writable]
    fields = _fields(described)
    refused = [name for name in _TASK_FIELDS if not fields.get(name, {}).get("createable")]
    if refused:
        writable = _failure("activity", f"{_and(refused)} of a Task may not be written", _ASSIGN)
    return [writable, _task_key(fields.get(KEY_FIELD))]


def _task_key(field: Described | None) -> Finding:
    subject, fallback = "key of Tasks", "each Task is looked for before it is written, which costs more calls"
    if field is None:
        return _warning(subject, f"Task has no {KEY_FIELD}: {fallback}", _ASSIGN)
    lacking = _lacking(field, "unique", "externalId", "createable", "updateable")
    if lacking:
        return _warning(subject, f"{KEY_FIELD} is not {_and(lacking)}: {fallback}", _ASSIGN)
    return _ok(subject, f"{KEY_FIELD} is there, unique and an external id")


def _key_records(described: Described | None) -> Finding:
    remedy = f"{_ASSIGN} Or set key_records=false."
    found = _created(described, key_records.OBJECT, "key records", remedy)
    if found.level is not Level.OK:
        return found
    fields = _fields(described)
    needed = {key_records.KEY_FIELD: ("unique", "externalId", "createable"), key_records.RECORD_FIELD: ("createable",)}
    for name, properties in needed.items():
        if lacking := _lacking(fields.get(name, {}), *properties):
            return _failure("key records", f"{key_records.OBJECT}.{name} is not {_and(lacking)}", remedy)
    return found


def _created(described: Described | None, name: str, subject: str, remedy: str) -> Finding:
    if described is None:
        return _failure(subject, f"the organisation does not offer {name} to the integration user", remedy)
    if not described.get("createable"):
        return _failure(subject, f"the integration user may not create {name} records", remedy)
    return _ok(subject, f"{name} records may be created")


def _limit(subject: str, limit: Any, unit: str, note: str, remedy: str) -> Finding:
    try:
        most, left = int(limit["Max"]), int(limit["Remaining"])
    except (TypeError, KeyError, ValueError):
        return _ok(subject, "limits are " + _NOT_READABLE)
    told = f"{left:,} of {most:,}{unit} left{note}"
    if left <= 0:
        return _failure(subject, told, remedy, passing=True)
    if left <= SCARCE * most:
        return _warning(subject, told, "Find out what uses them up; opt-outs go before activity by themselves.")
    return _ok(subject, told)


def _rules(reply: Reply | None, effect: str) -> str:
    records = (_described(reply) or {}).get("records")
    if not isinstance(records, list):
        return _NOT_READABLE
    names = [str(each.get("ValidationName") or each.get("DeveloperName") or each.get("Name")) for each in records]
    if not names:
        return "none is active"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{len(names)} active ({shown}): {effect}"


def _described(reply: Reply | None) -> Described | None:
    return reply.body if reply and isinstance(reply.body, dict) else None


def _fields(described: Described | None) -> dict[str, Described]:
    return {str(field["name"]): field for field in (described or {}).get("fields", [])}


def _lacking(field: Described, *properties: str) -> list[str]:
    return [name for name in properties if not field.get(name)]


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _ok(subject: str, told: str) -> Finding:
    return Finding(AREA, subject, Level.OK, told)


def _warning(subject: str, told: str, remedy: str) -> Finding:
    return Finding(AREA, subject, Level.WARNING, told, remedy)


def _failure(subject: str, told: str, remedy: str, *, passing: bool = False, partial: bool = False) -> Finding:
    return Finding(AREA, subject, Level.FAILURE, told, remedy, passing, partial)
