"""How a bridge is, in a line: what somebody with several of them has to know before they look at one."""

from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.domain.alerts import duration
from writeback_pipeline.domain.findings import Level
from writeback_pipeline.domain.measures import Measures
from writeback_pipeline.domain.writebacks import Status


@dataclass(frozen=True, slots=True)
class Condition:
    """How bad it is, and what there is to say."""

    level: Level
    words: str


def condition(measures: Measures, now: datetime) -> Condition:
    """What the ledger's measures come to: a failure needs somebody, a warning may pass."""
    health = measures.health
    failed = sum(count for (_, status), count in health.owed.items() if status is Status.FAILED)
    silent = [name for name, beat in health.heartbeats.items() if beat.due_by < now]
    waiting = health.open_opt_outs()
    words = []
    if failed:
        words.append(f"{failed:,} need a person")
    if health.hold is not None:
        words.append(f"Salesforce is left alone: {health.hold.code}")
    words += [f"{name} is silent for {duration(now - health.heartbeats[name].at)}" for name in silent]
    if waiting and health.oldest_opt_out is not None:
        words.append(f"{waiting:,} opt-outs wait, the oldest for {duration(now - health.oldest_opt_out)}")
    lasting = failed or silent or (health.hold is not None and not health.hold.passing)
    level = Level.FAILURE if lasting else Level.WARNING if health.hold or measures.incidents else Level.OK
    return Condition(level, "; ".join(words) or "nothing waits")
