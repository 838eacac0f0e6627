"""What the API is made of: its versions, the map of its resources, and the organisation's limits."""

from __future__ import annotations

from typing import Any

from writeback_pipeline.local_org import tokens, usage
from writeback_pipeline.local_org.api.http import FIRST_VERSION, LAST_VERSION, Request, Response, Route
from writeback_pipeline.local_org.session import Session

_SEASONS = ("Summer", "Winter", "Spring")
_RESOURCES = ("composite", "limits", "query", "queryAll", "sobjects")
_FIXED_LIMITS = {
    "DailyAsyncApexExecutions": 250_000,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyBulkV2QueryJobs": 10_000,
    "DataStorageMB": 1_024,
    "FileStorageMB": 1_024,
    "HourlyTimeBasedWorkflow": 1_000,
    "SingleEmail": 15,
}


def versions() -> list[dict[str, str]]:
    """The API versions on offer, oldest first."""
    return [
        {"label": _label(number), "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
        for number in range(FIRST_VERSION, LAST_VERSION + 1)
    ]


def _label(number: int) -> str:
    releases = number - FIRST_VERSION  # version 31 is Summer '14; Winter releases carry the next year's number
    return f"{_SEASONS[releases % 3]} '{14 + (releases + 2) // 3}"


def _resources(session: Session, request: Request) -> Response:
    organisation = tokens.organisation_id(session.connection)
    found = {name: f"{request.root}/{name}" for name in _RESOURCES}
    identity = f"https://login.salesforce.com/id/{organisation}/{session.user_id}"
    return Response(200, found | {"identity": identity})


def _limits(session: Session, request: Request) -> Response:
    most = session.settings.daily_api_requests
    left = max(0, most - usage.used(session.connection, request.now))
    told: dict[str, Any] = {name: {"Max": value, "Remaining": value} for name, value in _FIXED_LIMITS.items()}
    told["DailyApiRequests"] = {"Max": most, "Remaining": left}
    return Response(200, dict(sorted(told.items())))


ROUTES = [Route("", {"GET": _resources}), Route("limits", {"GET": _limits})]
