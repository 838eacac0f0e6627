"""One delivery of opt-outs as a process of its own: `python -m writeback_pipeline_tests.delivery.bulk_worker HOME URL`.

It takes its time from the machine's clock and hardly waits between looks at a job, so that it can be killed anywhere.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.store import Store

if __name__ == "__main__":
    home, url = sys.argv[1:]
    organisation = SalesforceOrganisation(SalesforceConnection(url, "local", ClientCredentials("local")))
    OptOutDelivery(
        Store(Path(home) / "writebacks.duckdb"),
        organisation,
        now=lambda: datetime.now(UTC),
        sleep=lambda seconds: time.sleep(min(seconds, 0.1)),
    ).run()
