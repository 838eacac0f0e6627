"""Python runs this when a process starts that has this folder on its path: leases and quiet times pass in seconds."""

import os
from datetime import timedelta

from writeback_pipeline.domain import ledger

lease, quiet = (timedelta(seconds=float(os.environ[name])) for name in ("TEST_LEASE_SECONDS", "TEST_QUIET_SECONDS"))
proportion = lease / ledger.LEASE
ledger.LEASE, ledger.QUIET = lease, quiet

from writeback_pipeline.delivery import sending  # noqa: E402 - it takes the lease as it is now

sending.CALL_ALLOWANCE *= proportion
