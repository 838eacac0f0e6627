"""What it takes to deliver one day of mailing activity: API calls, memory, rate; first for new Tasks, then for changed.

Run `python benchmarks/activity_delivery.py [--summaries N] [--mailings N] [--lane composite,bulk]`. The delivery is
`writebacks run activity`, a Dagster run, in a process of its own; the embedded organisation is another one, and counts
the calls. Not a test.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from writeback_pipeline.local_org import admin, ids, records, usage
from writeback_pipeline.local_org.schema import OBJECTS
from writeback_pipeline.local_org.server import serve_forever
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline.store.store import Store

DAY = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)
CALLS_PER_THOUSAND, MEGABYTES = 1.2, 500
COMMAND = [sys.executable, "-c", "from writeback_pipeline.cli import main; main(prog_name='writebacks')"]
THRESHOLDS = {"composite": 1_000_000_000, "bulk": 1}
"""The setting `bulk_threshold` that sends everything by one lane."""

ORGANISATION = "local_org.sqlite"


def people(number: int) -> list[str]:
    """The ids of so many Contacts."""
    return [ids.make("003", 10_000 + each) for each in range(number)]


def fill(home: Path, number: int) -> None:
    """An organisation with so many Contacts."""
    organisation = open_org(home / ORGANISATION)
    with organisation.connection() as connection, records.atomic(connection):
        user = admin.session(connection)
        common = {"LastName": "Person", "Name": "Person", "HasOptedOutOfEmail": 0, "IsDeleted": 0}
        common |= dict.fromkeys(("CreatedById", "LastModifiedById", "OwnerId"), user.user_id)
        common |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), user.now)
        for person in people(number):
            records.insert(connection, OBJECTS["Contact"], {"Id": person, **common})
    organisation.close()


def add_mailing(home: Path, number: int, mailing: int) -> None:
    """One more mailing to everybody, as one more event file."""
    folder = home / "mailing_activity" / f"date={DAY.date()}"
    folder.mkdir(parents=True, exist_ok=True)
    same = {
        "kind": "sent",
        "mailing_id": f"m-{mailing}",
        "mailing_name": f"November Newsletter {mailing}",
        "subject": "What is new this week, and where to meet us in the coming ones",
        "object_type": "Contact",
    }
    everybody = people(number)
    columns = {name: pa.array([text] * number) for name, text in same.items()} | {
        "event_id": pa.array([f"{mailing}-{each}" for each in range(number)]),
        "occurred_at": pa.array([DAY + timedelta(minutes=mailing)] * number, pa.timestamp("us", tz="UTC")),
        "subscriber_id": pa.array([f"s-{each}" for each in range(number)]),
        "salesforce_id": pa.array(everybody),
        "is_machine_open": pa.array([False] * number),
    }
    pq.write_table(pa.table(columns), folder / f"mailing-{mailing}.parquet")


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The organisation in a process of its own; its address."""
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def deliver(home: Path, address: str) -> tuple[int, float]:
    """One run of the command; its peak memory in megabytes and its seconds."""
    variables = {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": "", "WRITEBACK_ACTIVITY": "", "DAGSTER_HOME": ""}
    variables |= {"SALESFORCE_URL": address, "SALESFORCE_CLIENT_ID": "local", "SALESFORCE_CLIENT_SECRET": "local"}
    day = f"{DAY.date()}"
    started = time.monotonic()
    with (home / "output").open("w+") as output:
        run = subprocess.Popen(
            [*COMMAND, "run", "activity", "--from", day, "--kind", "sent", "--format", "json"],
            env={**os.environ, **variables},
            stdout=output,
        )
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        print(f"  {json.loads(output.read())[0]['statuses']}")
    return used.ru_maxrss // 1024, time.monotonic() - started


def calls_made(home: Path) -> int:
    """API calls as the organisation counted them."""
    organisation = open_org(home / ORGANISATION)
    with organisation.connection() as connection:
        calls = usage.used(connection, time.time())
    organisation.close()
    return calls


def measure(home: Path, number: int, mailings: int, bulk_threshold: int) -> None:
    """Print two deliveries, of new summaries and of changed ones, and whether each is as good as it must be."""
    fill(home, number)
    Store(home / "writebacks.duckdb").change_settings({"bulk_threshold": str(bulk_threshold)}, "benchmark", DAY)
    with served(home) as address:
        for turn, what in enumerate(("new", "changed")):
            for mailing in range(turn * mailings, (turn + 1) * mailings):
                add_mailing(home, number, mailing)
            print(f"{number:,} {what} summaries", flush=True)
            before = calls_made(home)
            peak, seconds = deliver(home, address)
            calls = calls_made(home) - before
            enough = calls <= max(3, CALLS_PER_THOUSAND * number / 1_000) and peak < MEGABYTES
            print(
                f"  {calls} calls, {calls * 1_000 / number:.2f} for 1,000; peak memory {peak} MB; "
                f"{number / seconds:,.0f} a second, start included: {'pass' if enough else 'SHORT'}",
                flush=True,
            )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summaries", type=int, default=100_000)
    parser.add_argument("--mailings", type=int, default=1, help="to everybody, each time")
    parser.add_argument("--lane", choices=list(THRESHOLDS), default="composite")
    parser.add_argument("--serve", type=Path, metavar="HOME", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve_forever(chosen.serve / ORGANISATION, 0, None, lambda address: print(address, flush=True))
        return
    with TemporaryDirectory() as folder:
        measure(Path(folder), chosen.summaries, chosen.mailings, THRESHOLDS[chosen.lane])


if __name__ == "__main__":
    main()
