"""What changed in a stretch of time: the ids of records updated, and of records deleted.

Windows reach back 30 days for updates and 15 for deletions, the time a record waits in the recycle bin.
"""

from __future__ import annotations

from writeback_pipeline.local_org import times
from writeback_pipeline.local_org.api.describe import named
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.session import Session

_MOST_IDS = 600_000
_DAY = 86_400


def _updated(session: Session, request: Request) -> Response:
    described = named(session, request)
    start, end = _window(request, days=30)
    alive = "AND IsDeleted = 0" if described.has("IsDeleted") else ""
    rows = session.connection.execute(
        f"SELECT Id FROM {described.name} WHERE SystemModstamp >= ? AND SystemModstamp < ? {alive} ORDER BY Id LIMIT ?",
        (start, end, _MOST_IDS + 1),
    ).fetchall()
    if len(rows) > _MOST_IDS:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"more than {_MOST_IDS} records changed, narrow the dates")
    return Response(200, {"ids": [row["Id"] for row in rows], "latestDateCovered": min(end, session.now)})


def _deleted(session: Session, request: Request) -> Response:
    described = named(session, request)
    start, end = _window(request, days=15)
    if not described.has("IsDeleted"):
        rows = []
    else:
        rows = session.connection.execute(
            f"SELECT Id, SystemModstamp FROM {described.name} "
            "WHERE IsDeleted = 1 AND SystemModstamp >= ? AND SystemModstamp < ? ORDER BY SystemModstamp, Id",
            (start, end),
        ).fetchall()
    told = [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows]
    earliest = times.stamp(request.now - 15 * _DAY)
    covered = min(end, session.now)
    return Response(200, {"deletedRecords": told, "earliestDateAvailable": earliest, "latestDateCovered": covered})


def _window(request: Request, *, days: int) -> tuple[str, str]:
    start, end = (_instant(request, name) for name in ("start", "end"))
    if end <= start:
        raise _refused("endDate must be greater than startDate")
    if start < times.stamp(request.now - days * _DAY):
        raise _refused("startDate is before the earliest date available")
    return start, end


def _instant(request: Request, name: str) -> str:
    given = request.query.get(name, "").replace(" ", "+")  # an offset's plus sign that was not encoded
    read = times.read_datetime(given)
    if read is None:
        raise _refused(f"{name} is not a date and time with an offset: {given}")
    return read


def _refused(message: str) -> ApiError:
    return ApiError(400, "INVALID_REPLICATION_DATE", message)


ROUTES = [
    Route("sobjects/{sobject}/updated", {"GET": _updated}),
    Route("sobjects/{sobject}/deleted", {"GET": _deleted}),
]
