"""How a query is refused: status, code and the excerpt with a caret that points at the offending word.

What counts as an error belongs to the parser and the compiler; only the shape of the answer is decided here.
"""

import re

_CONTEXT = 30
"""Characters shown on either side of the caret, rounded outwards to whole words."""

_WORD_BREAK = re.compile(r"[ ,]")


class QueryError(Exception):
    """A refused query: HTTP status, Salesforce error code and message."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(f"{error_code}: {message.strip()}")
        self.status = status
        self.error_code = error_code
        self.message = message


def refusal(text: str, at: int, error_code: str, message: str) -> QueryError:
    """The error for the word at offset `at` of the query `text`."""
    line_start = text.rfind("\n", 0, at) + 1
    line = text[line_start:].split("\n", 1)[0]
    column = at - line_start
    start = max(line.rfind(separator, 0, max(column - _CONTEXT, 0) + 1) for separator in " ,") + 1
    after = _WORD_BREAK.search(line, column + _CONTEXT + 1)
    excerpt = line[start : after.start() if after else len(line)]
    row = text.count("\n", 0, line_start) + 1
    return QueryError(
        400,
        error_code,
        f"\n{excerpt}\n{' ' * (column - start)}^\nERROR at Row:{row}:Column:{column + 1}\n{message}",
    )
