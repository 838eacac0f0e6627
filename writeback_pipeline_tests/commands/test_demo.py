"""What `writebacks demo` says at its end of what needs somebody; `make demo` itself is run by the CI."""

from writeback_pipeline.commands.demo import told_to_people
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.listing import NEEDS_A_PERSON, ErrorGroup, Tally, Trouble
from writeback_pipeline.domain.undoing import UNDONE
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import NOW, contact, settled, unsubscribe


def failed(store: Store, code: str, number: int) -> None:
    store.enqueue([unsubscribe(contact(number))], NOW)
    (claim,) = store.claim("worker", NOW, limit=1)
    settlement = settled(claim, Status.FAILED)._replace(error_code=code, advice=f"Mend {code}.")
    store.record([], [settlement], [], NOW, release=True)


def activity(code: str, kind: Kind, rows: int) -> list[ErrorGroup]:
    trouble = Trouble(Status.FAILED, code, kind, rows, 7, NOW, None)
    return Tally((), (trouble,), {7: f"Mend {code}."}).error_groups(NEEDS_A_PERSON)


def test_opt_outs_and_activity_that_failed_are_told_with_the_command_that_lists_them(store: Store) -> None:
    failed(store, "GONE", 1)
    failed(store, UNDONE, 2)
    lines = list(told_to_people(store.writebacks(WritebackFilter()), activity("LOCKED", Kind.SENT, 40)))
    assert lines[:4] == ["1 failed, GONE", "  Mend GONE.", "40 summaries failed, LOCKED", "  Mend LOCKED."]
    assert lines[4].endswith("writebacks list --status failed --kind sent --kind opened")
    assert len(lines) == 5


def test_activity_without_failures_is_left_out() -> None:
    assert list(told_to_people([], [])) == []
