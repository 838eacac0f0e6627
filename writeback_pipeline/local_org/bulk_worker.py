"""The thread that works on Bulk jobs: started by whoever wakes it, gone when nothing is due.

There is one per server. Several servers of one organisation may come upon the same job; the one whose chunk comes
second leaves the job to the other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from writeback_pipeline.local_org import bulk_ingest, bulk_jobs, bulk_query, settings, times
from writeback_pipeline.local_org.bulk_jobs import Job
from writeback_pipeline.local_org.state import Organisation

_LOG = logging.getLogger(__name__)


class BulkWorker:
    """Does what is due of an organisation's jobs until `stopping` is set; `clock` gives seconds since 1970."""

    def __init__(self, organisation: Organisation, clock: Callable[[], float], stopping: threading.Event) -> None:
        self._organisation = organisation
        self._clock = clock
        self._stopping = stopping
        self._lock = threading.Lock()
        self._woken = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """See to it that what is due now is worked on; returns at once."""
        with self._lock:
            self._woken = True
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="bulk jobs", daemon=True)
                self._thread.start()

    def join(self) -> None:
        """Wait for the chunk that is under way, now that it is to be the last; a later server goes on with the job."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._woken or self._stopping.is_set():
                    self._thread = None
                    return
                self._woken = False
            passed_over: set[str] = set()
            while (job := self._next(passed_over)) is not None:
                if not self._work(job):
                    passed_over.add(job.id)

    def _next(self, passed_over: set[str]) -> Job | None:
        if self._stopping.is_set():
            return None
        with self._organisation.connection() as connection:
            polls = settings.load(connection).bulk_polls
            return bulk_jobs.next_due(connection, self._clock(), polls, passed_over)

    def _work(self, job: Job) -> bool:
        with self._organisation.connection() as connection:
            try:
                if job.type == "V2Query":
                    with self._organisation.connection() as reader:
                        return bulk_query.work(reader, connection, job, self._clock, self._stopping.is_set)
                return bulk_ingest.work(connection, job, self._clock, self._stopping.is_set)
            except Exception as error:
                _LOG.exception("Bulk job %s failed", job.id)
                current = bulk_jobs.fetch(connection, job.id)
                if current is not None and current.state in bulk_jobs.UNFINISHED:
                    reason = f"InternalServerError : {type(error).__name__}"
                    bulk_jobs.change(
                        connection, current, state="Failed", error=reason, modified=times.stamp(self._clock())
                    )
                return False
