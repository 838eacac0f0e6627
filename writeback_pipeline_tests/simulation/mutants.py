"""The protocol with one of its rules broken, each a switch in the tests: what proves that the histories would notice.

A mutant patches production code where the rule is there; where it is the store's, the same rule of the ledger in memory
(`test_protections` breaks the store's own, and those of the gateway).
"""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest

from writeback_pipeline.delivery import opt_outs, sending
from writeback_pipeline.domain import planning, reading_back
from writeback_pipeline.domain.ledger import Claim
from writeback_pipeline.domain.opt_outs import Decision, Flag, OptOutEvent, decide
from writeback_pipeline.domain.planning import PersonPlan, PlannedWrite
from writeback_pipeline.domain.records import Answer, RowResult
from writeback_pipeline.domain.writebacks import FlagResult, Kind
from writeback_pipeline_tests.fakes import leases, misfortunes, settling
from writeback_pipeline_tests.fakes.organisation import MemoryOrganisation
from writeback_pipeline_tests.fakes.tables import Tables

NO_ATTEMPT = 10**9

Mutant = Callable[[pytest.MonkeyPatch], None]


def claim_omits_what_a_dead_worker_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leases, "recover", lambda tables, now: None)


def flag_only_writes_have_no_attempt(patch: pytest.MonkeyPatch) -> None:
    journal = sending.journal

    def without_lone_flags(batch: sending.Batch, *rest: Any) -> list[int | None]:
        noted = {row.writeback_id for row in batch.rows if row.title is not None}
        kept = [position for position, row in enumerate(batch.rows) if row.writeback_id in noted]
        entered = journal(batch._replace(intents=[batch.intents[position] for position in kept]), *rest)
        ids = dict(zip(kept, entered, strict=True))
        return [ids.get(position, NO_ATTEMPT) for position in range(len(batch.rows))]

    patch.setattr(sending, "journal", without_lone_flags)


def read_back_does_not_wait_until_nothing_can_arrive(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading_back, "_is_over", lambda doubt, flag, now: True)


def a_resubscribe_goes_while_an_unsubscribe_is_unknown(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(planning, "in_doubt_until", lambda claim: None)


def outcomes_are_recorded_under_any_epoch(patch: pytest.MonkeyPatch) -> None:
    record = settling.record

    def unfenced(tables: Tables, *arguments: Any, **named: Any) -> int:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Tables, "is_current", lambda self, person, epoch: person in self.people)
            return record(tables, *arguments, **named)

    patch.setattr(settling, "record", unfenced)


def the_lease_is_looked_at_before_the_intent_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending, "CALL_ALLOWANCE", timedelta(days=-30))


def the_flag_follows_the_row_and_not_the_fold(patch: pytest.MonkeyPatch) -> None:
    def last_to_arrive(
        events: Collection[OptOutEvent], taken: frozenset[int], flag: Flag, *, suppressed: bool
    ) -> Decision:
        folded = decide(events, taken, flag, suppressed=suppressed)
        ours = [event for event in events if event.id in folded.flag_results]
        if not ours:
            return folded
        last = max(ours, key=lambda event: event.id)
        wanted = last.kind is Kind.UNSUBSCRIBE
        result = FlagResult.SET if wanted else FlagResult.CLEARED
        write = wanted if wanted is not flag.opted_out else None
        return folded._replace(
            flag_results=folded.flag_results | {last.id: result},
            desired=wanted,
            write=write,
            decided_by=last.id,
        )

    patch.setattr(planning, "decide", last_to_arrive)


def a_retry_replays_what_was_sent_before(patch: pytest.MonkeyPatch) -> None:
    first_flags: dict[str, PlannedWrite] = {}
    plan_person = planning.plan_person

    def replaying(claim: Claim, *rest: Any) -> PersonPlan:
        plan = plan_person(claim, *rest)
        key = f"{id(first_flags)} {claim.person.salesforce_id}"
        again = any(row.attempts for row in claim.taken)
        flags = [write for write in plan.writes if write.title is None]
        old = first_flags.get(key)
        if not again or old is None:
            if flags:
                first_flags[key] = flags[-1]
            return plan
        if plan.decision is None or old.writeback_id not in plan.decision.flag_results:
            return plan
        notes = [write for write in plan.writes if write.title is not None]
        settled = [each for each in plan.settled if each.writeback_id != old.writeback_id]
        return plan._replace(writes=(old, *notes), settled=tuple(settled))

    patch.setattr(opt_outs, "plan_person", replaying)


def read_back_ignores_deleted_notes(patch: pytest.MonkeyPatch) -> None:
    find_notes = MemoryOrganisation.find_notes

    def live_only(self: MemoryOrganisation, *arguments: Any) -> Any:
        found = find_notes(self, *arguments)
        return {key: [each for each in notes if not self.by_id[each.note_id].deleted] for key, notes in found.items()}

    patch.setattr(MemoryOrganisation, "find_notes", live_only)


def an_error_of_the_server_counts_as_not_executed(patch: pytest.MonkeyPatch) -> None:
    refused = RowResult(Answer.NOT_SENT, code="SERVER_UNAVAILABLE", message="HTTP 503")
    patch.setattr(misfortunes, "NO_ANSWER", refused)


def what_got_no_answer_is_sent_again_without_a_read_back(patch: pytest.MonkeyPatch) -> None:
    def blind(self: MemoryOrganisation, keys: Sequence[tuple[str, str]], objects: Any) -> Any:
        return {key: [] for key in keys}

    patch.setattr(MemoryOrganisation, "find_notes", blind)
    read_back_does_not_wait_until_nothing_can_arrive(patch)


MUTANTS: tuple[Mutant, ...] = (
    claim_omits_what_a_dead_worker_left,
    flag_only_writes_have_no_attempt,
    read_back_does_not_wait_until_nothing_can_arrive,
    a_resubscribe_goes_while_an_unsubscribe_is_unknown,
    outcomes_are_recorded_under_any_epoch,
    the_lease_is_looked_at_before_the_intent_only,
    the_flag_follows_the_row_and_not_the_fold,
    a_retry_replays_what_was_sent_before,
    read_back_ignores_deleted_notes,
    an_error_of_the_server_counts_as_not_executed,
    what_got_no_answer_is_sent_again_without_a_read_back,
)
