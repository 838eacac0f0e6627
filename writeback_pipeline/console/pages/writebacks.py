"""Writeback List: the page, one row opened, and the list as a file."""

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from writeback_pipeline.console.list_files import FILES
from writeback_pipeline.console.list_query import LIST, query_of, understood
from writeback_pipeline.console.visits import Page, Visit
from writeback_pipeline.domain.listing import NEEDS_A_PERSON, UNDER_WAY, WAITS, version_of
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import Operation
from writeback_pipeline.domain.settings import Frequency, WritebackSettings
from writeback_pipeline.domain.undoing import is_taken_back
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, RETRYABLE, WHY_NOT_RETRIED, Kind, Status, Writeback

SIZE = 50
"""Rows of a page."""

LIVE_SECONDS = 2
"""How often the page is looked at again while something is under way; the script waits longer while nothing changes."""


def show(visit: Visit) -> Response:
    """The list, what is in it by status, and what keeps rows from being written."""
    settings = visit.ports.ledger.settings()
    query = query_of(visit, settings.zone)
    if query.problems:
        return visit.page("writebacks_refused.html", status=400, query=query)
    page, tally = visit.ports.ledger.page(query.only, SIZE, older_than=query.older, newer_than=query.newer)
    counts, waits = tally.by_status(), tally.error_groups(WAITS)
    return visit.page(
        "writebacks.html",
        query=query,
        page=page,
        total=tally.total(query.only),
        everything=sum(counts.values()),
        counts=counts,
        statuses=tuple(Status),
        kinds=tuple(Kind),
        objects=tuple(ObjectType),
        needs_a_person=tally.error_groups(NEEDS_A_PERSON),
        waits=waits,
        by_hand=_sent_by_hand(settings) and any(kind in ACTIVITY_KINDS for group in waits for kind in group.kinds),
        taken_back=tally.taken_back(),
        live=LIVE_SECONDS if any(counts.get(status) for status in UNDER_WAY) else None,
        zone=settings.zone,
        is_taken_back=is_taken_back,
        choosable=_choosable(page.rows) if visit.may_change else {},
        retryable=RETRYABLE,
        links=visit.ports.links,
    )


def _choosable(rows: Iterable[Writeback]) -> dict[int, str]:
    """The versions of those that can be retried from the list; what was taken back on purpose goes by its own page."""
    return {
        row.id: version_of(row)
        for row in rows
        if row.status in RETRYABLE and not is_taken_back(row.status, row.error_code)
    }


def open_row(visit: Visit) -> Response:
    """One row with its attempts, before and after."""
    found = visit.ports.ledger.opened(visit.request.path_params["id"])
    if found is None:
        raise HTTPException(404)
    settings = visit.ports.ledger.settings()
    return visit.page(
        "writeback.html",
        found=found,
        row=found.writeback,
        version=version_of(found.writeback),
        taken_back=is_taken_back(found.writeback.status, found.writeback.error_code),
        why_not=WHY_NOT_RETRIED.get(found.writeback.status),
        live=LIVE_SECONDS if found.writeback.status in UNDER_WAY else None,
        flags={Operation.SET_FLAG: "ticked", Operation.CLEAR_FLAG: "not ticked"},
        window=_window(found.writeback),
        by_hand=_sent_by_hand(settings),
        settings=settings,
        zone=settings.zone,
        links=visit.ports.links,
    )


def _sent_by_hand(settings: WritebackSettings) -> bool:
    """Whether no schedule comes back to mailing activity that waits."""
    return not settings.activity_enabled or settings.frequency is Frequency.MANUAL


def _window(row: Writeback) -> dict[str, str] | None:
    """What Send now is asked for to deliver the window of a row of activity, by the row's key; None for an opt-out."""
    if row.kind not in ACTIVITY_KINDS:
        return None
    kind, occurrence, first_day, _ = row.delivery_key.split(":", 3)
    return {"occurrence": occurrence, "from": first_day, "to": first_day, "kind": kind}


def export(visit: Visit) -> Response:
    """The filtered list as a file, as it stood when the download began; rows as they are when their turn comes."""
    kind = FILES.get(visit.request.path_params["ending"])
    if kind is None:
        raise HTTPException(404)
    query = understood(visit)
    ids = visit.ports.ledger.listed(query.only)
    name = f"writebacks-{visit.now:%Y-%m-%d}.{visit.request.path_params['ending']}"
    return StreamingResponse(
        kind.write(visit.ports.ledger, ids),
        media_type=kind.media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


ROUTES = (Page(LIST, show), Page(f"{LIST}/{{id:int}}", open_row), Page(f"{LIST}/export.{{ending}}", export))
