"""Workers that can be killed: `python -m writeback_pipeline_tests.torture.worker` raises one after the other.

A process that has everything imported forks a worker for every line it reads, tells its id, and, when it has ended, its
exit code: so a worker begins within milliseconds. A worker delivers in small portions until somebody kills it, and
writes what it saw, a line of JSON each, at the end of a file.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from writeback_pipeline.delivery.gate import Gate
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.torture.clocks import FastClock

FAILED = 3
"""Exit code of a worker that met what no fault explains; its file says what."""

_PAUSE_WITHOUT_WORK = 0.02


def deliver(
    database: str, home: str, url: str, speed: float, began: float, people: int, journal: str, budgeted: bool
) -> None:
    """Deliver to `people` at a time until killed, `budgeted` as a run that Dagster starts by itself; notes how long the
    first opening took, and what was fenced off."""
    clock = FastClock(speed, began)
    store = Store(database, Path(home))
    opened = False
    gate = Gate(store, Purpose.OPT_OUTS, clock) if budgeted else None
    organisation = SalesforceOrganisation(SalesforceConnection(url, "local", ClientCredentials("local")), gate)
    while True:
        try:
            if not opened:
                started = time.perf_counter()
                store.settings()
                opened = True
                _note(journal, opened_after=time.perf_counter() - started)
            report = OptOutDelivery(store, organisation, clock, run_id=f"process {os.getpid()}").run(limit=people)
        except OrganisationUnavailable as trouble:
            _note(journal, trouble=trouble.code)
            continue
        except (StoreBusy, StoreUnusable) as trouble:
            _note(journal, store=str(trouble))
            continue
        if report.fenced:
            _note(journal, fenced=report.fenced)
        if not report.settled:
            time.sleep(_PAUSE_WITHOUT_WORK)


def _note(journal: str, **what: object) -> None:
    line = json.dumps({"process": os.getpid(), **what}) + "\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())  # one write: a line is there whole or not at all
    os.close(descriptor)


def _work(order: Mapping[str, Any]) -> None:
    try:
        deliver(**order)
    except BaseException:
        _note(order["journal"], failed=traceback.format_exc())
        os._exit(FAILED)


def main() -> None:
    """Fork a worker for every order on standard input, and kill it at the next line, or when there is none."""
    while line := sys.stdin.readline():
        worker = os.fork()
        if not worker:
            _work(json.loads(line))
        _say(worker)
        sys.stdin.readline()
        os.kill(worker, signal.SIGKILL)  # it is still there, if only as somebody whom nobody has buried
        _, status = os.waitpid(worker, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def notes(journal: Path) -> list[dict[str, Any]]:
    """What workers noted so far."""
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


if __name__ == "__main__":
    main()
