"""Which row a line of a Bulk job's results speaks of, and what it says of it.

Pure. Results come in any order and carry no key of ours: a row is known again by what it was, its id, its external id,
or a Note's parent and title. Two Notes alike in both are told apart by their text, or else by their number.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from writeback_pipeline.domain.bulk import JobStatus
from writeback_pipeline.domain.records import Answer, RowResult, RowWrite
from writeback_pipeline.salesforce.bulk_csv import cell

# CODE:message:FIELD OTHER_FIELD --
_ERROR = re.compile(r"(?P<code>[A-Z][A-Z0-9_]*):(?P<message>.*?)(?::[^:]*--)?\s*", re.DOTALL)


class Settled:
    """The rows of one job, and what became of those that its results have named so far."""

    def __init__(self, rows: Iterable[RowWrite]) -> None:
        self._columns: Sequence[str] = ()
        self._first: dict[str, int] = {}
        self._alike: dict[str, list[int]] = {}
        self._left = 0
        for position, row in enumerate(rows):
            self._columns = self._columns or _key_columns(row)
            key = _key(row)
            first = self._first.setdefault(key, position)
            if first != position:
                self._alike.setdefault(key, [first]).append(position)
            self._left += 1
        alike = {position for positions in self._alike.values() for position in positions}
        self._texts = {position: row for position, row in enumerate(rows) if position in alike} if alike else {}
        self._results: list[RowResult | None] = [None] * self._left

    @property
    def complete(self) -> bool:
        """Whether every row was named."""
        return self._left == 0

    def written(self, table: Iterable[Sequence[str]]) -> None:
        """Take the rows that succeeded."""
        for position, echo in self._named(table):
            self._results[position] = RowResult(Answer.OK, record_id=echo["sf__id"])

    def refused(self, table: Iterable[Sequence[str]]) -> None:
        """Take the rows that failed."""
        for position, echo in self._named(table):
            self._results[position] = _refusal(echo["sf__error"])

    def untouched(self, table: Iterable[Sequence[str]], status: JobStatus) -> None:
        """Take the rows that the job never came to."""
        code, message = why_it_ended(status)
        for position, _ in self._named(table):
            self._results[position] = RowResult(Answer.NOT_SENT, code=code, message=message)

    def results(self, status: JobStatus) -> list[RowResult]:
        """One result per row, in order; the fate of a row that no file named is unknown."""
        message = f"Bulk job {status.job_id} names this row in none of its results."
        unnamed = RowResult(Answer.UNKNOWN, code="NO_RESULT", message=message)
        return [result or unnamed for result in self._results]

    def _named(self, table: Iterable[Sequence[str]]) -> Iterator[tuple[int, Mapping[str, str]]]:
        """The position and the cells, by lower-case column, of each line that names a row of ours."""
        lines = iter(table)
        columns = [column.lower() for column in next(lines, ())]
        for line in lines:
            echo = dict(zip(columns, line, strict=False))
            position = self._take(_as_key(echo.get(column, "") for column in self._columns), echo)
            if position is not None:
                self._left -= 1
                yield position, echo

    def _take(self, key: str, echo: Mapping[str, str]) -> int | None:
        """The row that the line names, which no other does from then on."""
        alike = self._alike.get(key)
        if alike is None:
            return self._first.pop(key, None)
        same = (position for position in alike if _same_text(self._texts[position], echo))
        position = next(same, alike[0] if alike else None)
        if position is not None:
            alike.remove(position)
        return position


def why_it_ended(status: JobStatus) -> tuple[str, str]:
    """Code and message for rows that a job never came to."""
    message = status.message or f"Bulk job {status.job_id} ended as {status.state} before it came to this row."
    code, separator, _ = message.partition(" : ")
    return (code if separator else "UNPROCESSED"), message


def _key_columns(row: RowWrite) -> Sequence[str]:
    if row.external_id is not None:
        return (row.external_id[0].lower(),)
    return ("id",) if row.record_id is not None else ("parentid", "title")


def _key(row: RowWrite) -> str:
    if row.external_id is not None:
        return _as_key([row.external_id[1]])
    return _as_key([row.record_id] if row.record_id is not None else [row.fields["ParentId"], row.fields["Title"]])


def _as_key(values: Iterable[str]) -> str:
    return "\0".join([cell(value).strip() for value in values])


def _same_text(row: RowWrite, echo: Mapping[str, str]) -> bool:
    return all(echo.get(name.lower(), "").strip() == cell(value).strip() for name, value in row.fields.items())


def _refusal(text: str) -> RowResult:
    told = _ERROR.fullmatch(text)
    code, message = (told["code"], told["message"]) if told else ("UNKNOWN_EXCEPTION", text)
    return RowResult(Answer.REJECTED, code=code, message=message)
