"""What a Salesforce error code means for the row that got it: what to do, and a sentence for whoever has to.

Classified by code, never by the text, which comes in the user's language. A code that is not listed needs a person:
safe, because nothing is repeated that might have been done.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What delivery does with a row that got an error."""

    RETRY = "retry"  # passing: again after a back-off
    REDIRECT = "redirect"  # the record moved: look again and follow
    PERSON = "person"  # somebody has to act before it can work
    CONFIGURATION = "configuration"  # the same for every row: stop, mark none failed
    QUOTA = "quota"  # stop until the organisation accepts calls again


@dataclass(frozen=True, slots=True)
class Outcome:
    """How to treat an error code, with the advice shown in the Writeback List."""

    action: Action
    advice: str


_RETRIED = "Salesforce was busy with this record; it is tried again by itself."
_DEADLINE = "Passing trouble in Salesforce; it is tried again by itself."
PERMISSION_SET = "Salesforce_Writebacks"
"""The permission set in `salesforce_package` that gives the integration user every right it needs."""

_MAINTENANCE = "Salesforce takes no changes during maintenance; it is tried again by itself."
_INSIDE = (
    "Salesforce failed inside itself; it is tried again by itself. If it stays, open a case with Salesforce and give "
    "the ErrorId of the message."
)
_REPORT = "Salesforce refuses what this project sent: report this with the message."
_BULK = "A Bulk job was not in the state that was expected: report this with the message, then retry."
_FIELD_ACCESS = (
    "The integration user may not read and write this field (field-level security). Deploy salesforce_package and "
    f"assign its permission set {PERMISSION_SET} to that user, or give read and edit access to Email Opt Out in "
    "another way; then run again."
)

OUTCOMES: dict[str, Outcome] = {
    "UNABLE_TO_LOCK_ROW": Outcome(Action.RETRY, _RETRIED),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": Outcome(Action.RETRY, _DEADLINE),
    "PROCESSING_HALTED": Outcome(Action.RETRY, _DEADLINE),
    "SERVER_UNAVAILABLE": Outcome(Action.RETRY, _DEADLINE),
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": Outcome(Action.RETRY, _MAINTENANCE),
    "INVALID_READ_ONLY_USER_DML": Outcome(Action.RETRY, _MAINTENANCE),
    "API_CURRENTLY_DISABLED": Outcome(Action.RETRY, _DEADLINE),
    "QUERY_TIMEOUT": Outcome(Action.RETRY, _DEADLINE),
    "TXN_SECURITY_METERING_ERROR": Outcome(Action.RETRY, _DEADLINE),
    "UNKNOWN_EXCEPTION": Outcome(Action.RETRY, _INSIDE),
    "APEX_ERROR": Outcome(Action.RETRY, _INSIDE),
    "DUPLICATE_VALUE": Outcome(
        Action.RETRY,
        "Another record carries the same unique value, which an earlier try may have made; it is tried again by "
        "itself. If it stays, the message names the other record: remove its value in Salesforce.",
    ),
    "ENTITY_IS_LOCKED": Outcome(
        Action.PERSON,
        "The record is locked by an approval process: finish or recall the approval, then retry.",
    ),
    "CANNOT_UPDATE_CONVERTED_LEAD": Outcome(
        Action.REDIRECT, "The Lead was converted; the writeback follows to the Contact it became."
    ),
    "ENTITY_IS_DELETED": Outcome(
        Action.REDIRECT,
        "The record is in the recycle bin: undelete it or its master in Salesforce, then retry.",
    ),
    "INVALID_CROSS_REFERENCE_KEY": Outcome(
        Action.PERSON,
        "Salesforce has no such record: it was deleted for good or belongs to another organisation. "
        "Correct the person's Salesforce id on the platform and queue the change again, under a new key.",
    ),
    "NOT_FOUND": Outcome(
        Action.PERSON,
        "Salesforce has no such record: it was deleted for good or belongs to another organisation. "
        "Correct the person's Salesforce id on the platform and queue the change again, under a new key.",
    ),
    "MALFORMED_ID": Outcome(Action.PERSON, "The id is not one of this object: correct it on the platform."),
    "FIELD_INTEGRITY_EXCEPTION": Outcome(
        Action.PERSON, "A field of the record holds a value Salesforce rejects: edit the record, then retry."
    ),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Outcome(
        Action.PERSON,
        "A validation rule of the organisation refuses the record: satisfy the rule on the record, or exempt the "
        "integration user from it, then retry.",
    ),
    "REQUIRED_FIELD_MISSING": Outcome(
        Action.PERSON, "The record lacks a required field: fill it in in Salesforce, then retry."
    ),
    "STRING_TOO_LONG": Outcome(
        Action.PERSON, "A text is longer than the field: report this, it should be cut beforehand."
    ),
    "INVALID_EMAIL_ADDRESS": Outcome(
        Action.PERSON, "The record holds an invalid e-mail address: correct it in Salesforce, then retry."
    ),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Outcome(
        Action.PERSON, "A picklist does not allow the value: activate it in Salesforce, then retry."
    ),
    "INSUFFICIENT_ACCESS_OR_READONLY": Outcome(
        Action.PERSON, "The integration user may not edit this record: give it access (sharing), then retry."
    ),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Outcome(
        Action.PERSON, "The integration user may not see this person: give it access (sharing), then retry."
    ),
    "DUPLICATES_DETECTED": Outcome(
        Action.PERSON,
        "A duplicate rule stopped the write: merge the duplicates or exempt the integration user, then retry.",
    ),
    "DUPLICATE_EXTERNAL_ID": Outcome(
        Action.PERSON, "Several records carry the same key: remove all but one in Salesforce, then retry."
    ),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Outcome(
        Action.PERSON,
        "A trigger of the organisation failed on this record: show the message to its developer, then retry.",
    ),
    "CANNOT_EXECUTE_FLOW_TRIGGER": Outcome(
        Action.PERSON,
        "A flow of the organisation failed on this record: show the message to its administrator, then retry.",
    ),
    "EXCEEDED_ID_LIMIT": Outcome(Action.PERSON, "Too many records were sent at once: report this, then retry."),
    "JSON_PARSER_ERROR": Outcome(
        Action.PERSON, "Salesforce could not read what was sent for this record: report this with the record's id."
    ),
    "INVALIDENTITY": Outcome(Action.PERSON, _BULK),
    "INVALIDJOBSTATE": Outcome(Action.PERSON, _BULK),
    "STORAGE_LIMIT_EXCEEDED": Outcome(
        Action.QUOTA,
        "The organisation's storage is full: free some or buy more; it is tried again by itself.",
    ),
    "REQUEST_LIMIT_EXCEEDED": Outcome(
        Action.QUOTA, "The organisation's API requests are used up for now; it is tried again by itself."
    ),
    "LIMIT_EXCEEDED": Outcome(
        Action.QUOTA, "The organisation's Bulk API allowance is used up for now; it is tried again by itself."
    ),
    "INVALID_FIELD": Outcome(Action.CONFIGURATION, _FIELD_ACCESS),
    "INVALID_FIELD_FOR_INSERT_UPDATE": Outcome(Action.CONFIGURATION, _FIELD_ACCESS),
    "INVALID_TYPE": Outcome(
        Action.CONFIGURATION,
        "The organisation does not offer this object to the integration user. ContentNote needs Enhanced Notes: turn "
        "them on in Setup, Notes Settings, or set note_object to Note. Writeback__c comes with salesforce_package: "
        f"deploy it and assign its permission set {PERMISSION_SET}, or set key_records to false.",
    ),
    "INVALID_SESSION_ID": Outcome(
        Action.CONFIGURATION,
        "Salesforce rejects the session even after a new login: check the app's API scope and policies.",
    ),
    "INVALID_AUTH_HEADER": Outcome(Action.CONFIGURATION, _REPORT),
    "MALFORMED_QUERY": Outcome(Action.CONFIGURATION, _REPORT),
    "INVALID_QUERY_FILTER_OPERATOR": Outcome(Action.CONFIGURATION, _REPORT),
    "METHOD_NOT_ALLOWED": Outcome(Action.CONFIGURATION, _REPORT),
    "UNSUPPORTED_MEDIA_TYPE": Outcome(Action.CONFIGURATION, _REPORT),
    "GONE": Outcome(
        Action.CONFIGURATION,
        "The organisation has retired this version of its API: install a newer release.",
    ),
    "API_DISABLED_FOR_ORG": Outcome(
        Action.CONFIGURATION,
        "The integration user lacks the API Enabled permission: grant it, then run again.",
    ),
    "TXN_SECURITY_NO_ACCESS": Outcome(
        Action.CONFIGURATION,
        "A transaction security policy forbids the call: ask the organisation's administrator.",
    ),
}

UNLISTED = Outcome(
    Action.PERSON,
    "Salesforce gave an error this project does not know: read the message, mend the record, then retry.",
)

CONCURRENT = Outcome(
    Action.QUOTA, "Too many long requests run in the organisation at once; it is tried again within seconds."
)

OF_THE_RECORD = frozenset(
    {
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "DUPLICATE_EXTERNAL_ID",
        "ENTITY_IS_DELETED",
        "ENTITY_IS_LOCKED",
        "FIELD_INTEGRITY_EXCEPTION",
        "INVALID_CROSS_REFERENCE_KEY",
        "INVALID_EMAIL_ADDRESS",
        "MALFORMED_ID",
        "NOT_FOUND",
        "STRING_TOO_LONG",
    }
)
"""Codes that lie in one record's own data: however many rows have one, the next row may well be fine."""

OF_THE_OBJECT = frozenset({"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE"})
"""Codes that lie in how the organisation is set up for one object: every row of that object has it, no other need."""

_TRIGGER_CODES = ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER")
_INNER_PASSING = re.compile(
    r"UNABLE_TO_LOCK_ROW|QUERY_TIMEOUT|System\.LimitException|Too many SOQL queries|Apex CPU time limit"
)
_CONCURRENT_LIMITS = ("ConcurrentRequests", "ConcurrentPerOrgLongTxn")


def classify(code: str, message: str = "") -> Outcome:
    """What to do about an error code; of a message only the names are read that are the same in every language: the
    inner code of a trigger's or flow's, and which limit was exceeded."""
    if code in _TRIGGER_CODES and _INNER_PASSING.search(message):
        return Outcome(Action.RETRY, _RETRIED)
    if code == "REQUEST_LIMIT_EXCEEDED" and message.startswith(_CONCURRENT_LIMITS):
        return CONCURRENT
    return OUTCOMES.get(code, UNLISTED)
