from dataclasses import dataclass
from datetime import UTC, datetime

from writeback_pipeline.delivery.shelf import Shelf
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import Gone, Live, Operation, RowWrite


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


def test_what_is_put_away_comes_back_equal_and_in_order_as_often_as_it_is_asked_for() -> None:
    shelf = Shelf[str]()
    portions = [["a", "b"], [], ["c"]]
    for portion in portions:
        shelf.put(portion)
    for _ in range(2):
        assert list(shelf.portions()) == portions
        assert list(shelf) == ["a", "b", "c"]


def test_values_come_back_equal_whatever_fields_they_have() -> None:
    shelf = Shelf[object]()
    write = RowWrite(Operation.SET_FLAG, "Contact", {"HasOptedOutOfEmail": True}, record_id="003A")
    things = [write, PersonRef(ObjectType.LEAD, "00QA"), Live(opted_out=False), Gone("X"), Nothing(), None]
    shelf.put([things, {"at": datetime.now(UTC)}, *things])
    assert next(iter(shelf)) == things
    assert list(shelf)[2:] == things
    assert isinstance(next(thing for thing in shelf if isinstance(thing, RowWrite)).operation, Operation)
