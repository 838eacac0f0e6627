"""Sending writebacks back to pending: one at once, several after a page that shows how many and what will happen.

A form carries each row with the version in which it was shown, so nothing is retried that anybody has dealt with since.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.responses import Response

from writeback_pipeline.console.list_query import LIST, understood
from writeback_pipeline.console.visits import Action, Page, Visit, local_path
from writeback_pipeline.domain.ledger import Asked, WritebackFilter
from writeback_pipeline.domain.listing import version_of
from writeback_pipeline.domain.undoing import UNDONE
from writeback_pipeline.domain.writebacks import RETRYABLE, Writeback

RETRY = f"{LIST}/retry"

MOST = 10_000
"""Rows that go back at once: enough for a bad day, few enough that little is lost if the cause is not mended."""

_EXAMPLES = 5
_SEEN = re.compile(r"([0-9]{1,18}):([0-9a-f]{1,64})")


def ask(visit: Visit) -> Response:
    """What a retry of everything in the filter would do; nothing is changed by asking.

    What was taken back on purpose goes by its own page only.
    """
    query = understood(visit)
    statuses = tuple(status for status in RETRYABLE if not query.only.statuses or status in query.only.statuses)
    if not statuses:
        raise HTTPException(400, f"Only {' and '.join(RETRYABLE)} writebacks can be retried.")
    only = replace(query.only, statuses=statuses, without_codes=(UNDONE,), limit=MOST)
    rows = visit.ports.ledger.writebacks(only)
    total = visit.ports.ledger.count(only) if len(rows) == MOST else len(rows)
    return _ask(visit, rows, {row.id: version_of(row) for row in rows}, total, query.address())


def retry(visit: Visit) -> Response:
    """Retry the rows of the form; when they are several, once somebody has said yes."""
    seen = {int(id_): version for id_, version in _SEEN.findall(" ".join(visit.form_texts("version")))}
    back = local_path(visit.text("back") or visit.at(LIST))
    known = visit.ports.ledger.listed(WritebackFilter(ids=tuple(seen)))
    seen = {id_: seen[id_] for id_ in known}
    if len(seen) > 1 and visit.text("confirmed") != "yes":
        rows = visit.ports.ledger.writebacks(WritebackFilter(ids=tuple(seen)))
        return _ask(visit, rows, seen, len(rows), back)
    if not seen:
        return visit.go(back, "Nothing was chosen, so nothing was changed.")
    result = visit.ports.ledger.retry(seen=seen, asked=Asked(visit.user.name, visit.now))
    if result.refused:
        return visit.page("retried.html", status=200 if result.retried else 409, result=result, back=back)
    what = "The writeback was" if len(seen) == 1 else f"{len(seen):,} writebacks were"
    return visit.go(back, f"{what} put back to pending.")


def _ask(visit: Visit, rows: Sequence[Writeback], seen: Mapping[int, str], total: int, back: str) -> Response:
    if not rows:
        return visit.go(back, "There is nothing to retry here any more.")
    groups = Counter((row.status, row.error_code) for row in rows)
    advice = {(row.status, row.error_code): row.advice for row in reversed(rows)}
    return visit.page(
        "retry.html",
        count=len(rows),
        total=total,
        groups=[(*group, number, advice[group]) for group, number in groups.most_common()],
        examples=rows[:_EXAMPLES],
        version=" ".join(f"{id_}:{version}" for id_, version in seen.items()),
        back=back,
        zone=visit.ports.ledger.settings().zone,
    )


ROUTES = (Page(RETRY, ask), Action(RETRY, retry))
