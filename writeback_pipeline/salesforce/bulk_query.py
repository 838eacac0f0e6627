"""Query jobs of Bulk API 2.0: a result of any size for a handful of calls, for reading a whole population.

A job changes nothing, so it is simply given up when something goes wrong. Reads block until the job has ended.
"""

import time
from collections.abc import Callable, Iterator

from writeback_pipeline.domain.bulk import FINISHED, JobState
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.salesforce.calls import Calls, Request
from writeback_pipeline.salesforce.errors import UNREADABLE, CallFailed, unavailable

ROWS_A_PAGE = 100_000
LONGEST_SECONDS = 1_800.0
"""How long a job may take, in seconds, before it is given up."""

_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_ADVICE = "It is tried again by itself; a query that always fails is to be reported with its message."


class BulkQueries:
    """Reads from one organisation; anything but a result raises OrganisationUnavailable."""

    def __init__(self, calls: Calls, sleep: Callable[[float], None] = time.sleep) -> None:
        self._calls = calls
        self._sleep = sleep

    def rows(self, soql: str) -> Iterator[dict[str, str]]:
        """The rows that a query finds, as text by field; the job is deleted when all of them were read."""
        try:
            job = self._calls.single(Request("POST", "jobs/query", {"operation": "query", "query": soql}))["id"]
            self._wait(job)
            locator: str | None = ""
            while locator is not None:
                more = f"&locator={locator}" if locator else ""
                table, locator = self._calls.page(f"jobs/query/{job}/results?maxRecords={ROWS_A_PAGE}{more}")
                header, *lines = table or [[]]
                yield from (dict(zip(header, line, strict=True)) for line in lines)
        except CallFailed as failed:
            raise failed.unavailable from None
        except (KeyError, TypeError, ValueError):
            raise unavailable(UNREADABLE) from None

    def _wait(self, job: str) -> None:
        waited, pauses = 0.0, iter(_PAUSES)
        while waited <= LONGEST_SECONDS:
            pause = next(pauses, _PAUSES[-1])
            self._sleep(pause)
            waited += pause
            told = self._calls.single(Request("GET", f"jobs/query/{job}"))
            state = JobState(told["state"])
            if state is JobState.COMPLETE:
                return
            if state in FINISHED:
                raise OrganisationUnavailable(
                    "QUERY_JOB_FAILED",
                    f"Salesforce ended the query: {told.get('errorMessage')}.",
                    _ADVICE,
                    passing=True,
                )
        raise OrganisationUnavailable("QUERY_JOB_SLOW", "Salesforce did not end the query.", _ADVICE, passing=True)
