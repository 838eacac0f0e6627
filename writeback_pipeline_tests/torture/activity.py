"""Mailing activity of the same people: what was sent to whom, and whether their Tasks say so in the end."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.local_org.state import Organisation
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.mailings import DAY, Mailings
from writeback_pipeline_tests.torture.truth import Verdict

_SEVERAL = re.compile(r"^(?:Sent|Opened) ([\d,]+) times", re.MULTILINE)


@dataclass
class Newsletter:
    """One mailing, sent or opened again and again on one day, by some of the people each time."""

    mailings: Mailings
    kind: Kind = Kind.SENT
    day: str = DAY
    events: Counter[str] = field(default_factory=Counter)

    def reaches(self, people: Iterable[str], chance: random.Random) -> None:
        """An event of everybody, in some order, and a second one of every tenth: two files."""
        people = list(people)
        again = chance.sample(people, len(people) // 10)
        for whom in (chance.sample(people, len(people)), again):
            when = f"{self.day.partition('-')[2]} {chance.randrange(24):02}:05"
            self.mailings.add(*(self.mailings.event(self.kind, person, when) for person in whom))
            self.events.update(whom)

    def judge(self, ledger: Store, inside: Organisation) -> Verdict:
        """Everybody who had an event has one Task, which tells how many."""
        key = f"{self.kind}:daily:{self.day}:"
        with inside.connection() as connection:
            found = connection.execute("SELECT * FROM Task WHERE Writeback_Key__c LIKE ?", (f"{key}%",)).fetchall()
        told = [(task["Writeback_Key__c"].removeprefix(key), _times(task["Description"])) for task in found]
        tasks, counts = Counter(person for person, _ in told), dict(told)
        rows = ledger.writebacks(WritebackFilter(kinds=(self.kind,)))
        return Verdict(
            events=len(self.events),
            lost=tuple(person for person in self.events if not tasks[person]),
            duplicated=tuple(person for person, count in tasks.items() if count > 1),
            stale=tuple(person for person, count in counts.items() if count != self.events[person]),
            unfinished=tuple(
                f"{row.salesforce_id} {row.status} {row.error_code}" for row in rows if row.status is not Status.WRITTEN
            ),
        )


def _times(description: str) -> int:
    found = _SEVERAL.search(description)
    return int(found[1].replace(",", "")) if found else 1
