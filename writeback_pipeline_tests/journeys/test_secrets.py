"""Secrets stay where they are: one of each kind is planted, everything fails once, and nothing of them is found.

Looked through are all that commands print, Dagster's storage, metadata and logs, exports, the pages of the console, the
ledger with its log, and every other file of the home. An e-mail address is the business of the ledger, the list and the
pages, and of nothing and nobody else.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from click.testing import CliRunner

from writeback_pipeline.cli import main
from writeback_pipeline.local_org import faults, tokens
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline.local_org.state import Organisation, open_org
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.postgres import server
from writeback_pipeline_tests.torture import tell

SECRET = "canary-Secret/4711+client=="
WRONG_SECRET = "canary-Wrong/4712+client=="
HOOK = "canaryHook4717"
MAIL_PASSWORD = "canary-Mail/4718+password"
EMAIL = "canary.4713@mail.example"
PERSON = people().contacts[0].id
DATABASE_PASSWORD = "canary-Database-4714-password"
CONSOLE_SECRET = "canary-Console-4715-secret-of-a-good-length"
ACCOUNT_PASSWORD = "canary-Account-4716-password"
LEDGER = ("writebacks.duckdb", "writebacks.duckdb.wal")
EXPORTS = "exports"
"""Where the list is printed: it shows e-mail addresses, and nothing else that was planted."""

PAGES = ("/", "/writebacks", "/settings", "/no-such-page")


WRITEBACKS = Path(sys.executable).parent / "writebacks"
_MAY_NAME_PEOPLE = (*LEDGER, "rows of the ledger", EXPORTS, "pages")


@dataclass
class Scene:
    """A home, an organisation elsewhere that fails on demand, and everything that was printed."""

    home: Path
    url: str
    inside: Organisation
    key_file: Path
    jwt: dict[str, str]
    printed: list[str] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    def run(self, *arguments: str, **variables: str) -> int:
        """Call the command line as a process with these variables; its exit code."""
        done = subprocess.run(
            [WRITEBACKS, *arguments],
            env=self.variables(variables),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        self.printed += [done.stdout, done.stderr]
        return done.returncode

    def call(self, *arguments: str, stdin: str | None = None, **variables: str) -> str:
        """The same in this process, which is quicker; what went to standard output is the caller's."""
        ours = self.variables(variables)
        env = {name: ours.get(name) for name in {*ours, *os.environ}}
        result = CliRunner().invoke(main, arguments, input=stdin, env=env)
        self.printed.append(result.stderr)
        return result.stdout

    def variables(self, more: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
        return kept | ledgers.variables(self.home) | {"SALESFORCE_URL": self.url} | more

    def look_at_the_console(self, **variables: str) -> None:
        """Every page, with its headers, and what the console prints."""
        with subprocess.Popen(
            [WRITEBACKS, "console", "--port", "0"],
            env=self.variables(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as console:
            assert console.stdout is not None
            for line in console.stdout:
                self.printed.append(line)
                if line.startswith("Console"):
                    break
            for path in PAGES:
                answer = requests.get(line.split()[-1].rstrip("/") + path, timeout=60)
                self.pages += [str(answer.headers), answer.text]
            console.terminate()
            self.printed.append(console.stdout.read())

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
    for name, texts in {"printed": scene.printed, EXPORTS: scene.exported, "pages": scene.pages}.items():
        found[name] = "\n".join(texts).encode()
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    with open_database(ledgers.location(scene.home)).reading() as ledger:
        rows = [ledger.execute(f"SELECT * FROM {name}").fetchall() for (name,) in ledger.execute(tables).fetchall()]
    found["rows of the ledger"] = str(rows).encode()
    return found


def test_no_secret_is_found_anywhere_whatever_went_wrong(scene: Scene) -> None:
    alerts = {
        "WRITEBACK_ALERT_WEBHOOK": f"http://127.0.0.1:9/services/{HOOK}",
        "WRITEBACK_ALERT_SMTP_URL": f"smtps://canary:{quote(MAIL_PASSWORD, safe='')}@127.0.0.1:9",
        "WRITEBACK_ALERT_MAIL_FROM": "writebacks@platform.example",
        "WRITEBACK_ALERT_MAIL_TO": "operations@platform.example",
        "WRITEBACK_LOG_LEVEL": "debug",
    }
    by_secret = {"SALESFORCE_CLIENT_ID": "canary", "SALESFORCE_CLIENT_SECRET": SECRET} | alerts
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
    scene.exported += [scene.call("list", "--format", form) for form in ("csv", "json", "table")]
    scene.exported.append(scene.call("why", PERSON))
    scene.printed += [scene.call("retry", "1"), scene.call("audit", **by_secret)]
    account = f"somebody:operator:{scene.call('console', 'hash-password', stdin=ACCOUNT_PASSWORD).strip()}"
    scene.look_at_the_console(WRITEBACK_CONSOLE_SECRET=CONSOLE_SECRET, WRITEBACK_CONSOLE_USERS=account, **by_secret)
    nowhere = f"postgresql://writebacks:{DATABASE_PASSWORD}@127.0.0.1:1/writebacks"
    on_a_server = server().new_url().replace("//writebacks@", f"//writebacks:{DATABASE_PASSWORD}@")
    commands = [["settings", "show"], ["enqueue", "unsubscribe", "--contact", PERSON], ["list"]]
    with ThreadPoolExecutor() as at_once:  # each waits for half a minute whether the server comes back
        codes = at_once.map(
            lambda command: scene.run(*command, WRITEBACK_DATABASE=nowhere, **scene.jwt),
            [["run", "opt-outs"], *commands],
        )
    assert all(codes), "each says that it cannot work"
    for command in commands:
        scene.printed.append(scene.call(*command, WRITEBACK_DATABASE=on_a_server, **by_secret))
    assert scene.run("alerts", "test", **by_secret) == 1, "nobody listens there"
    scene.run("alerts", "check", **by_secret)
    given = scene.tokens()
    assert len(given) >= 4, "logins were made"
    key_lines = [line for line in scene.key_file.read_text().splitlines() if not line.startswith("-")]
    secrets = {
        "client secret": [SECRET, f"canary:{SECRET}"],
        "wrong client secret": [WRONG_SECRET, f"canary:{WRONG_SECRET}"],
        "access token": given,
        "private key": key_lines,
        "password of the database": [DATABASE_PASSWORD],
        "secret of the console": [CONSOLE_SECRET],
        "password and hash of an account": [ACCOUNT_PASSWORD, account],
        "webhook": [HOOK],
        "mail password": [MAIL_PASSWORD],
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
        if spelling in content and not (kind == "e-mail address" and name in _MAY_NAME_PEOPLE)
    ]
    assert hits == []
    for name in ("rows of the ledger", EXPORTS):
        assert EMAIL.encode() in where[name], "the search finds what is there"
    assert b"<html" in where["pages"]
    tell(f"secrets planted: {sum(map(len, secrets.values()))} of {len(secrets)} kinds, {len(where)} places, 0 hits")
