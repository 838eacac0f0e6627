"""The embedded organisation of a benchmark: a process of its own, with so many Contacts, and as slow as is asked for.

`python -m benchmarks.organisation HOME` is that process.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.commands import variables_of
from writeback_pipeline.local_org import admin, faults, ids, records, settings, usage
from writeback_pipeline.local_org.schema import OBJECTS
from writeback_pipeline.local_org.server import serve_forever
from writeback_pipeline.local_org.state import Organisation, open_org

FILE = "local_org.sqlite"
LATENCY = 0.15
"""Seconds that a far organisation takes before it answers, besides its work."""

_ENOUGH = 100_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """Where it answers (`secure` by https), the certificate to trust, and its file."""

    address: str
    secure: str
    certificate: Path
    home: Path
    pid: int

    def variables(self) -> dict[str, str]:
        """The environment of a command that is to write to it."""
        return variables_of(self.home) | {
            "SALESFORCE_URL": self.address, "SALESFORCE_CLIENT_ID": "local", "SALESFORCE_CLIENT_SECRET": "local",
        }  # fmt: skip

    def token(self) -> str:
        """An access token."""
        form = {"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"}
        answer = requests.post(f"{self.address}/services/oauth2/token", form, timeout=30)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def calls(self) -> int:
        """API calls so far, as it counted them."""
        with _opened(self.home) as organisation, organisation.connection() as connection:
            return usage.used(connection, time.time())

    def written(self) -> tuple[int, int, int]:
        """Contacts that are opted out, Notes and Tasks."""
        questions = ("Contact WHERE HasOptedOutOfEmail = 1", "Note", "Task")
        with _opened(self.home) as organisation, organisation.connection() as connection:
            opted_out, notes, tasks = (
                connection.execute(f"SELECT count(*) FROM {each}").fetchone()[0] for each in questions
            )
        return opted_out, notes, tasks


def people(number: int) -> list[str]:
    """The ids of so many Contacts."""
    return [ids.make("003", 10_000 + each) for each in range(number)]


@contextmanager
def served(home: Path, contacts: int, *, latency: float = 0) -> Iterator[Served]:
    """An organisation with so many Contacts, each call of which takes `latency` seconds besides its work."""
    _fill(home, contacts, latency)
    command = [sys.executable, "-m", "benchmarks.organisation", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            secure = re.match(r"(\S+) \(certificate to trust: (.+)\)", process.stdout.readline())
            assert secure is not None
            organisation = Served(address, secure[1], Path(secure[2]), home, process.pid)
            organisation.token()  # its first answer takes long: nobody's figure
            yield organisation
        finally:
            process.terminate()


@contextmanager
def _opened(home: Path) -> Iterator[Organisation]:
    organisation = open_org(home / FILE)
    try:
        yield organisation
    finally:
        organisation.close()


def _fill(home: Path, contacts: int, latency: float) -> None:
    with _opened(home) as organisation, organisation.connection() as connection:
        settings.change(connection, daily_api_requests=_ENOUGH)
        if latency:
            faults.arm(connection, "slow", seconds=latency)
        user = admin.session(connection)
        common = {"LastName": "Person", "Name": "Person", "HasOptedOutOfEmail": 0, "IsDeleted": 0}
        common |= dict.fromkeys(("CreatedById", "LastModifiedById", "OwnerId"), user.user_id)
        common |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), user.now)
        with records.atomic(connection):
            for person in people(contacts):
                records.insert(connection, OBJECTS["Contact"], {"Id": person, **common})


if __name__ == "__main__":
    serve_forever(Path(sys.argv[1]) / FILE, 0, 0, lambda address: print(address, flush=True))
