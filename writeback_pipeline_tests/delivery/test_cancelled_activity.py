"""A delivery of activity that somebody cancels while it is under way: Ctrl-C, or a run that is stopped in the UI."""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from writeback_pipeline.domain.records import RowResult, RowWrite
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.mailings import Mailings, deliver, tasks
from writeback_pipeline_tests.world import World


@pytest.mark.parametrize("asked_to_stop", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_after_the_call_and_leaves_nothing_in_doubt(
    world: World, tmp_path: Path, asked_to_stop: signal.Signals
) -> None:
    mailings = Mailings(tmp_path / "mailing_activity")
    mailings.sent(*(world.contact() for _ in range(1_100)))

    class CancelledDuringItsCall(SalesforceOrganisation):
        def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
            os.kill(os.getpid(), asked_to_stop)
            return super().write(rows)

    organisation = CancelledDuringItsCall(SalesforceConnection(world.url, "local", ClientCredentials("local")))
    before = signal.signal(asked_to_stop, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            deliver(world, mailings, organisation=organisation)
    finally:
        signal.signal(asked_to_stop, before)
        organisation.close()
    assert Counter(row.status for row in world.rows()) == {Status.WRITTEN: 1_000}
    assert len(tasks(world)) == 1_000
    again = deliver(world, mailings)
    assert (again.calls, again.statuses, len(tasks(world))) == (1, {Status.WRITTEN: 100}, 1_100)
