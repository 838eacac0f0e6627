"""What it takes to deliver very many unsubscribes at once: API calls, peak memory, rate.

Run `python benchmarks/bulk.py [--people N]`. The delivery is `writebacks run opt-outs`, a Dagster run, in a process of
its own; the embedded organisation is another one, and counts the calls. Not a test.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline.local_org import admin, ids, records, usage
from writeback_pipeline.local_org.schema import OBJECTS
from writeback_pipeline.local_org.server import serve_forever
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline.store.store import Store

NOW = datetime.now(UTC)
CALLS, MEGABYTES, AT = 40, 700, 100_000
LEAD_EVERY = 5
COMMAND = [sys.executable, "-c", "from writeback_pipeline.cli import main; main(prog_name='writebacks')"]
ORGANISATION = "local_org.sqlite"
PREFIXES = {ObjectType.CONTACT: "003", ObjectType.LEAD: "00Q"}


def people(number: int) -> Iterator[tuple[ObjectType, str]]:
    """So many people, every fifth a Lead, with their ids."""
    for each in range(number):
        kind = ObjectType.CONTACT if each % LEAD_EVERY else ObjectType.LEAD
        yield kind, ids.make(PREFIXES[kind], 10_000 + each)


def fill(home: Path, number: int) -> None:
    """An organisation with these people, and a queue with an unsubscribe of each."""
    organisation = open_org(home / ORGANISATION)
    with organisation.connection() as connection, records.atomic(connection):
        user = admin.session(connection)
        common = {"LastName": "Person", "Name": "Person", "HasOptedOutOfEmail": 0, "IsDeleted": 0}
        common |= dict.fromkeys(("CreatedById", "LastModifiedById", "OwnerId"), user.user_id)
        common |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), user.now)
        more = {ObjectType.CONTACT: {}, ObjectType.LEAD: {"Company": "Company", "Status": "Open", "IsConverted": 0}}
        for kind, person in people(number):
            records.insert(connection, OBJECTS[kind], {"Id": person, **common, **more[kind]})
    organisation.close()
    reason = "Too many mails in November, and none that I had asked for"
    changes = [Change(Kind.UNSUBSCRIBE, kind, person, NOW, reason=reason) for kind, person in people(number)]
    Store(home / "writebacks.duckdb").enqueue(changes, NOW)


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


def deliver(home: Path, address: str) -> tuple[dict[str, int], int, float]:
    """One run of the command: what became of the writebacks, its peak memory in megabytes and its seconds."""
    variables = {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": "", "WRITEBACK_ACTIVITY": "", "DAGSTER_HOME": ""}
    variables |= {"SALESFORCE_URL": address, "SALESFORCE_CLIENT_ID": "local", "SALESFORCE_CLIENT_SECRET": "local"}
    started = time.monotonic()
    with (home / "output").open("w+") as output:
        command = [*COMMAND, "run", "opt-outs", "--format", "json"]
        run = subprocess.Popen(command, env={**os.environ, **variables}, stdout=output)
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        statuses = json.loads(output.read())["statuses"]
    return statuses, used.ru_maxrss // 1024, time.monotonic() - started


def told(home: Path) -> tuple[int, list[str]]:
    """API calls as the organisation counted them, and its Bulk jobs."""
    organisation = open_org(home / ORGANISATION)
    with organisation.connection() as connection:
        calls = usage.used(connection, time.time())
        jobs = [
            f"{row['operation']} {row['object']} {row['processed']:,} rows {row['state']}"
            for row in connection.execute("SELECT * FROM _bulk_jobs ORDER BY id")
        ]
    organisation.close()
    return calls, jobs


def measure(home: Path, number: int) -> None:
    """Print one delivery, and whether it is as good as it must be for 100,000 people."""
    fill(home, number)
    print(f"{number:,} unsubscribes", flush=True)
    with served(home) as address:
        statuses, peak, seconds = deliver(home, address)
    calls, jobs = told(home)
    print(*(f"  job: {job}" for job in jobs), sep="\n")
    enough = statuses == {"written": number} and (number > AT or (calls <= CALLS and peak < MEGABYTES))
    print(
        f"  {statuses}; {calls} calls; peak memory {peak} MB; {number / seconds:,.0f} a second, start included: "
        f"{'pass' if enough else 'SHORT'}",
        flush=True,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=AT)
    parser.add_argument("--serve", type=Path, metavar="HOME", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve_forever(chosen.serve / ORGANISATION, 0, None, lambda address: print(address, flush=True))
        return
    with TemporaryDirectory() as folder:
        measure(Path(folder), chosen.people)


if __name__ == "__main__":
    main()
