"""Mailing activity of the same people: what was sent to whom, and whether their Tasks say so in the end."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline_tests.mailings import Mailings
from writeback_pipeline_tests.torture.truth import Verdict
from writeback_pipeline_tests.world import World

_SEVERAL = re.compile(r"^Sent ([\d,]+) times", re.MULTILINE)


@dataclass
class Newsletter:
    """One mailing that goes out again and again on one day, to some of the people each time."""

    mailings: Mailings
    chance: random.Random
    people: Sequence[str]
    sent: Counter[str] = field(default_factory=Counter)

    def goes_out(self, to: int) -> None:
        """Send it to that many, some of them twice."""
        self.goes_to(self.chance.choices(self.people, k=to))

    def goes_to(self, whom: Sequence[str]) -> None:
        """Send it to them."""
        self.mailings.sent(*whom)
        self.sent.update(whom)

    def judge(self, world: World) -> Verdict:
        """Every person who was sent something has one Task, which tells how often."""
        told = [
            (task["Writeback_Key__c"].rpartition(":")[2], _times(task["Description"]))
            for task in world.select("SELECT * FROM Task")
        ]
        tasks, counts = Counter(person for person, _ in told), dict(told)
        rows = world.ledger.writebacks(WritebackFilter(kinds=(Kind.SENT,)))
        return Verdict(
            events=len(self.sent),
            lost=tuple(person for person in self.sent if not tasks[person]),
            duplicated=tuple(person for person, count in tasks.items() if count > 1),
            stale=tuple(person for person, count in counts.items() if count != self.sent[person]),
            unfinished=tuple(
                f"{row.salesforce_id} {row.status} {row.error_code}" for row in rows if row.status is not Status.WRITTEN
            ),
        )


def _times(description: str) -> int:
    found = _SEVERAL.search(description)
    return int(found[1].replace(",", "")) if found else 1
