"""How a person stands on both sides: on the platform by the ledger, in Salesforce as far as it was ever heard of.

Pure: the facts of a story in, a word out.
"""

from datetime import datetime

from writeback_pipeline.domain.ledger import Origin
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.story import Facts
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status

_FLAGS = {Operation.SET_FLAG: True, Operation.CLEAR_FLAG: False}


def opted_out(facts: Facts) -> bool | None:
    """Whether any opt-out of theirs stands; None where none was ever known."""
    return any(each.cleared_at is None for each in facts.opt_outs) if facts.opt_outs else None


def last_known_flag(facts: Facts) -> tuple[bool, datetime] | None:
    """What Email Opt Out was when Salesforce was last heard of it, and when that was; None where it never was."""
    heard = [
        (_FLAGS[each.intent.operation], each.outcome.answered_at)
        for each in facts.attempts
        if each.intent.operation in _FLAGS and each.outcome is not None and each.outcome.answer is Answer.OK
    ]
    heard += [
        (row.kind is Kind.UNSUBSCRIBE, row.written_at)
        for row in facts.writebacks
        if row.status is Status.WRITTEN and row.flag_result is FlagResult.UNCHANGED and row.written_at is not None
    ]
    elsewhere = [each for each in facts.opt_outs if each.origin != Origin.PLATFORM]
    heard += [(True, each.since) for each in elsewhere]
    heard += [(False, each.cleared_at) for each in elsewhere if each.cleared_at is not None]
    heard += [(False, clear.at) for clear in facts.overruled]
    return max(heard, key=lambda each: each[1], default=None)
