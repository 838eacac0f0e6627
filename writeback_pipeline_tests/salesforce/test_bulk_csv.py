import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.bulk import JobState, JobStatus, carried_by_bulk, pause_before_look
from writeback_pipeline.domain.records import Answer, Operation, RowWrite
from writeback_pipeline.salesforce.bulk_csv import JobFiles, file_of
from writeback_pipeline.salesforce.bulk_results import Settled

STATUS = JobStatus("750000000000001AAA", JobState.COMPLETE)


def note(number: int, body: str = "b") -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": f"003{number:012}AAA", "Title": "t", "Body": body})


@given(st.lists(st.text(max_size=50), min_size=1, max_size=20), st.integers(100, 400))
def test_files_hold_every_row_once_and_none_is_longer_than_allowed(bodies: list[str], most: int) -> None:
    rows = [note(number, body) for number, body in enumerate(bodies)]
    files, half = JobFiles(most), len(rows) // 2
    numbers = [number for portion in (rows[:half], rows[half:]) for number, _ in files.share_out(portion)]
    assert sorted(numbers) == numbers
    assert set(numbers) == set(range(1, numbers[-1] + 1))
    for number in set(numbers):
        its_rows = [row for row, its_number in zip(rows, numbers, strict=True) if its_number == number]
        assert len(file_of(its_rows)) <= max(most, 350)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=10))
def test_any_text_is_one_row_of_three_cells_without_a_carriage_return(bodies: list[str]) -> None:
    content = file_of([note(number, body) for number, body in enumerate(bodies)])
    assert b"\r" not in content
    lines = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    assert [len(line) for line in lines] == [3] * (len(bodies) + 1)


def test_columns_may_come_back_in_another_order_and_case_and_unknown_lines_are_passed_over() -> None:
    settled = Settled([note(1), note(2)])
    settled.written([["TITLE", "sf__Id", "body", "parentid"], ["t", "002A", "b", "003000000000002AAA"]])
    settled.refused(
        [["sf__Id", "sf__Error", "ParentId", "Title", "Body"], ["", "X:y:--", "003000000000009AAA", "t", "b"]]
    )
    assert [result.answer for result in settled.results(STATUS)] == [Answer.UNKNOWN, Answer.OK]


def test_errors_are_taken_apart_into_code_and_message() -> None:
    told = {
        "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--": (
            "UNABLE_TO_LOCK_ROW",
            "unable to obtain exclusive access to this record",
        ),
        "STRING_TOO_LONG:Last Name: data value too large: x (max length=80):LastName --": (
            "STRING_TOO_LONG",
            "Last Name: data value too large: x (max length=80)",
        ),
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY:T: execution of AfterUpdate\n\ncaused by: X: []:--": (
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "T: execution of AfterUpdate\n\ncaused by: X: []",
        ),
        "something else altogether": ("UNKNOWN_EXCEPTION", "something else altogether"),
    }
    for text, expected in told.items():
        settled = Settled([note(1)])
        settled.refused([["sf__Error", "ParentId", "Title"], [text, "003000000000001AAA", "t"]])
        [result] = settled.results(STATUS)
        assert (result.answer, result.code, result.message) == (Answer.REJECTED, *expected)


def test_only_kinds_with_enough_rows_go_by_bulk_and_links_never() -> None:
    linked = RowWrite(Operation.CREATE_NOTE, "ContentNote", {"Title": "t"}, linked_to="003000000000001AAA")
    rows_of = [[note(1)], [note(2), linked], [linked], []]
    assert carried_by_bulk(iter(rows_of), 2) == [True, False, False, False]
    assert carried_by_bulk(iter(rows_of), 3) == [False] * 4


def test_pauses_between_looks_grow_up_to_a_minute() -> None:
    small = [pause_before_look(10, looks).total_seconds() for looks in range(9)]
    assert small == sorted(small)
    assert (round(small[0]), small[-1]) == (1, 60)
    assert pause_before_look(100_000, 0).total_seconds() == 21
