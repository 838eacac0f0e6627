"""What the journal tells of the workers: what became of their sends, and whether a fenced one was ever believed."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from writeback_pipeline.domain.ledger import Attempt
from writeback_pipeline.domain.records import Answer


def accepted_from_the_fenced(attempts: Iterable[Attempt]) -> list[int]:
    """Ids of attempts whose answer was recorded although a later worker had already sent something for that person."""
    by_person: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_person[attempt.intent.person_id].append(attempt)
    return [
        attempt.id
        for theirs in by_person.values()
        for attempt in theirs
        if attempt.outcome is not None
        and attempt.outcome.answer is not Answer.UNKNOWN
        and any(
            later.intent.epoch > attempt.intent.epoch and later.intent.intent_at < attempt.outcome.answered_at
            for later in theirs
        )
    ]


def answers(attempts: Iterable[Attempt]) -> Counter[str]:
    """What became of everything that was sent."""
    return Counter("open" if attempt.outcome is None else attempt.outcome.answer.value for attempt in attempts)
