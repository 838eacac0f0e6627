"""A worker that one person kills: `deliver` is the target of a process, and ends it by SIGKILL where it meets them."""

import os
import signal
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from time import sleep

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.bulk import JobStatus
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Held, RowResult, RowWrite
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.store import Store


class DeadlyOrganisation(SalesforceOrganisation):
    """Salesforce, but one person ends the process: when that person is looked at, is about to be written to, or is told
    of in the results of a job that sets flags."""

    def __init__(self, connection: SalesforceConnection, person: str, moment: str) -> None:
        super().__init__(connection)
        self._person, self._moment = person, moment

    def look(self, people: Sequence[PersonRef]) -> dict[str, Held]:
        found = super().look(people)
        if self._moment == "look" and self._person in found:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        met = {"flag": [row.record_id for row in rows], "note": [row.fields.get("ParentId") for row in rows]}
        if self._person in met.get(self._moment, ()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(rows)

    def job_results(self, status: JobStatus, rows: Iterable[RowWrite]) -> list[RowResult]:
        if self._moment == "results" and self._person in {row.record_id for row in rows}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().job_results(status, rows)


def deliver(database: str, home: str, url: str, at: datetime, person: str, moment: str) -> None:
    """One delivery at that time; `moment` says what of the person kills the process."""
    connection = SalesforceConnection(url, "local", ClientCredentials("local"))
    organisation = DeadlyOrganisation(connection, person, moment)
    OptOutDelivery(
        Store(database, Path(home)), organisation, now=lambda: at, sleep=lambda seconds: sleep(min(seconds, 0.1))
    ).run()
