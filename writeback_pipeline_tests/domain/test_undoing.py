"""Whatever a run did and whatever happened since: an undo opts nobody in who stands opted out by anything else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.opt_outs import OptOutEvent, in_order
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import Gone, Live, Operation
from writeback_pipeline.domain.undoing import RunFlag, RunRow, ToUndo, UndoPlan, plan_undo
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Kind, Status, Writeback

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERSON = PersonRef(ObjectType.CONTACT, "003000000000001AAA")
DELIVERED = (Status.WRITTEN, Status.SENDING, Status.UNKNOWN)


def writeback(event: OptOutEvent) -> Writeback:
    return Writeback(
        id=event.id, kind=event.kind, object_type=PERSON.object_type, salesforce_id=PERSON.salesforce_id,
        subscriber_id=None, email=None, occurred_at=event.occurred_at, reason=None, window_start=None, window_end=None,
        delivery_key=str(event.id), status=event.status, flag_result=None, attempts=1, next_attempt_at=None,
        error_code=None, error_message=None, advice=None, note_id=f"002{event.id:012}AAA", task_id=None,
        redirected_from=None, run_id="run", created_at=NOW, written_at=NOW,
    )  # fmt: skip


@st.composite
def subjects(draw: st.DrawFn) -> ToUndo:
    events = tuple(
        OptOutEvent(
            number, draw(st.sampled_from(OPT_OUT_KINDS)), NOW - timedelta(hours=hours), draw(st.sampled_from(Status))
        )
        for number, hours in enumerate(draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    )
    mine = draw(st.lists(st.sampled_from(events), min_size=1, unique=True))
    flag = RunFlag(mine[-1].id, draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
    rows = tuple(RunRow(writeback(event), (f"002{event.id:012}AAA",)) for event in mine)
    elsewhere, doubt = draw(st.booleans()), draw(st.none() | st.just(NOW + timedelta(minutes=5)))
    return ToUndo(PERSON.salesforce_id, 1, NOW, PERSON, rows, flag, events, elsewhere, draw(st.booleans()), doubt)


def planned(subject: ToUndo, held: Live | Gone, *, suppressed: bool) -> UndoPlan:
    return plan_undo(subject, held, {}, suppressed=suppressed, now=NOW)


def clears(plan: UndoPlan) -> bool:
    return any(each.write.operation is Operation.CLEAR_FLAG for each in plan.writes)


@given(subjects(), st.booleans(), st.booleans())
def test_a_flag_is_cleared_only_where_nothing_else_wants_it_set(
    subject: ToUndo, opted_out: bool, suppressed: bool
) -> None:
    plan = planned(subject, Live(opted_out), suppressed=suppressed)
    if not clears(plan):
        return
    undone = {row.writeback.id for row in plan.rows}
    remaining = [
        event
        for event in in_order(subject.events)
        if event.id not in undone
        and event.status not in (Status.REFUSED, Status.NO_RECIPIENT)
        and (event.kind is Kind.UNSUBSCRIBE or event.status in DELIVERED)
    ]
    assert not remaining or remaining[-1].kind is Kind.RESUBSCRIBE
    assert remaining or (subject.flag is not None and not subject.flag.before), "back to what it was"
    assert opted_out
    assert not subject.stands_elsewhere
    assert subject.verify_after is None
    assert not suppressed
    assert subject.flag is not None
    assert subject.flag.written
    assert not subject.flag.overtaken


@given(subjects(), st.booleans())
def test_only_what_is_settled_is_touched(subject: ToUndo, opted_out: bool) -> None:
    plan = planned(subject, Live(opted_out), suppressed=False)
    status = {row.writeback.id: row.writeback.status for row in subject.rows}
    deleted = [each for each in plan.writes if each.write.operation is Operation.DELETE_NOTE]
    assert all(status[each.writeback_id] in (Status.WRITTEN, Status.FAILED) for each in deleted)
    assert {row.writeback.id for row in plan.rows} | plan.left.keys() == status.keys()


@given(subjects(), st.sampled_from(["ENTITY_IS_DELETED", "NOT_FOUND"]))
def test_the_flag_of_a_record_that_is_gone_is_left(subject: ToUndo, code: str) -> None:
    settled = replace(subject, verify_after=None)
    plan = planned(settled, Gone(code), suppressed=False)
    assert all(each.write.operation is Operation.DELETE_NOTE for each in plan.writes)
