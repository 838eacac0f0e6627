"""One delivery of opt-outs as a process of its own: `python -m ...delivery.bulk_worker HOME DATABASE URL`.

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
    home, database, url = sys.argv[1:]
    organisation = SalesforceOrganisation(SalesforceConnection(url, "local", ClientCredentials("local")))
    OptOutDelivery(
        Store(database, Path(home)),
        organisation,
        now=lambda: datetime.now(UTC),
        sleep=lambda seconds: time.sleep(min(seconds, 0.1)),
    ).run()
