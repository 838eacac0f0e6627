"""Secrets stay where they are: one of each kind is planted, everything fails once, and nothing of them is found.

Looked through are all that commands print, Dagster's storage and logs, the ledger with its log, and every other file
of the home. An e-mail address is the ledger's business and the list's, and of nothing and nobody else.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from writeback_pipeline.local_org import faults, tokens
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline.local_org.state import Organisation, open_org
from writeback_pipeline_tests.torture import tell

SECRET = "canary-Secret/4711+client=="
WRONG_SECRET = "canary-Wrong/4712+client=="
EMAIL = "canary.4713@mail.example"
PERSON = people().contacts[0].id
LEDGER = ("writebacks.duckdb", "writebacks.duckdb.wal")


@dataclass
class Scene:
    """A home, an organisation elsewhere that fails on demand, and everything that was printed."""

    home: Path
    url: str
    inside: Organisation
    key_file: Path
    jwt: dict[str, str]
    printed: list[str] = field(default_factory=list)

    def run(self, *arguments: str, **variables: str) -> int:
        """Call the command line with these SALESFORCE_ variables; its exit code."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
        done = subprocess.run(
            [Path(sys.executable).parent / "writebacks", *arguments],
            env=kept | {"WRITEBACK_HOME": str(self.home), "SALESFORCE_URL": self.url} | variables,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        self.printed += [done.stdout, done.stderr]
        return done.returncode

    def arm(self, kind: str, **how: object) -> None:
        """Have the organisation fail, and nothing else."""
        with self.inside.connection() as connection:
            faults.clear(connection)
            faults.arm(connection, kind, **how)

    def tokens(self) -> list[str]:
        """Every access token that the organisation has ever given out."""
        with self.inside.connection() as connection:
            return [token for (token,) in connection.execute("SELECT token FROM _given")]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    file = tmp_path / "elsewhere" / "local_org.sqlite"
    with run_in_thread(file, with_sample=True) as server:
        inside = open_org(file)
        with inside.connection() as connection:
            row = ("canary", SECRET, tokens.INTEGRATION_USER, None)
            connection.execute("INSERT INTO _clients VALUES (?, ?, ?, ?)", row)
            connection.execute("CREATE TABLE _given (token TEXT)")
            connection.execute(
                "CREATE TRIGGER keep AFTER INSERT ON _tokens BEGIN INSERT INTO _given VALUES (new.token); END"
            )
            client = tokens.create_jwt_client(connection, tmp_path / "keys")
        jwt = {
            "SALESFORCE_CLIENT_ID": client.client_id,
            "SALESFORCE_USERNAME": client.username,
            "SALESFORCE_PRIVATE_KEY_FILE": str(client.private_key_path),
        }
        yield Scene(tmp_path / "home", server.url, inside, client.private_key_path, jwt)
        inside.close()


def spellings(secret: str) -> set[bytes]:
    """The secret as it is, as a URL has it, as JSON has it, and in base64."""
    plain = secret.encode()
    encoded = base64.b64encode(plain).rstrip(b"=")
    return {plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), encoded}


def contents(scene: Scene) -> dict[str, bytes]:
    """All that was printed and every file of the home; of the ledger also its rows, which may be stored packed."""
    found = {str(path.relative_to(scene.home)): path.read_bytes() for path in scene.home.rglob("*") if path.is_file()}
    found["printed"] = "\n".join(scene.printed).encode()
    with duckdb.connect(str(scene.home / LEDGER[0]), read_only=True) as ledger:
        names = [name for (name,) in ledger.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        rows = [ledger.execute(f"SELECT * FROM {name}").fetchall() for name in names]
    found["rows of the ledger"] = str(rows).encode()
    return found


def test_no_secret_is_found_anywhere_whatever_went_wrong(scene: Scene) -> None:
    by_secret = {"SALESFORCE_CLIENT_ID": "canary", "SALESFORCE_CLIENT_SECRET": SECRET}
    wrong = by_secret | {"SALESFORCE_CLIENT_SECRET": WRONG_SECRET}
    assert scene.run("enqueue", "unsubscribe", "--contact", PERSON, "--email", EMAIL) == 0
    assert scene.run("run", "opt-outs", **wrong) == 2
    scene.run("check", **wrong)
    scene.arm("unavailable", path="composite", times=2)  # the look before the delivery meets it, too
    assert scene.run("run", "opt-outs", **by_secret) == 1
    scene.arm("drop_after", path="composite$", times=2)
    assert scene.run("run", "opt-outs", **scene.jwt) == 1
    scene.arm("session_not_valid")
    scene.run("run", "opt-outs", "--dry-run", **by_secret)
    scene.run("check", **scene.jwt)
    scene.run("settings", "show")
    given = scene.tokens()
    assert len(given) >= 4, "logins were made"
    key_lines = [line for line in scene.key_file.read_text().splitlines() if not line.startswith("-")]
    secrets = {
        "client secret": [SECRET, f"canary:{SECRET}"],
        "wrong client secret": [WRONG_SECRET, f"canary:{WRONG_SECRET}"],
        "access token": given,
        "private key": key_lines,
        "e-mail address": [EMAIL],
    }
    where = contents(scene)
    assert any("dagster" in name for name in where)
    hits = [
        (kind, name)
        for kind, planted in secrets.items()
        for name, content in where.items()
        for secret in planted
        for spelling in spellings(secret)
        if spelling in content and not (kind == "e-mail address" and name in (*LEDGER, "rows of the ledger"))
    ]
    assert hits == []
    assert EMAIL.encode() in where["rows of the ledger"], "the search finds what is there"
    tell(f"secrets planted: {sum(map(len, secrets.values()))} of {len(secrets)} kinds, {len(where)} places, 0 hits")
