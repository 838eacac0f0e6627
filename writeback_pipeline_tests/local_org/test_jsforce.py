"""jsforce, the JavaScript client of Salesforce, works against the organisation with nothing changed but the address.

It is installed once, beside the Python packages, by npm; Node.js and npm have to be on the machine (18 or later).
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.local_org import certificates, sample, server, state

SOURCES = Path(__file__).parent / "jsforce"
INSTALL_SECONDS, JOURNEY_SECONDS = 240, 240
PEOPLE = sample.people()


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder in which the client is installed; a new one when the pinned version changes."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is missing: these tests drive a JavaScript client; install Node.js 18 or later")
    package = (SOURCES / "package.json").read_bytes()
    folder = Path(sys.prefix) / "node" / hashlib.sha256(package).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # each process that runs a part of the suite comes here
        if not (folder / "installed").exists():
            install(folder, package)
    return folder


def install(folder: Path, package: bytes) -> None:
    (folder / "package.json").write_bytes(package)
    quietly = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command = ["npm", "install", *quietly]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"npm could not install the client:\n{done.stdout}{done.stderr}"
    (folder / "installed").touch()


@pytest.fixture(scope="module", params=["http", "https"])
def told(request: pytest.FixtureRequest, client: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the client was told on its journey, over plain http and over TLS."""
    folder = tmp_path_factory.mktemp(request.param)
    state.reset(folder / "organisation.sqlite").close()
    certificate = certificates.for_loopback(folder) if request.param == "https" else None
    trusted = {"NODE_EXTRA_CA_CERTS": str(certificate.path)} if certificate else {}
    script = shutil.copy(SOURCES / "journey.mjs", client / f"journey-{os.getpid()}.mjs")
    with server.run_in_thread(folder / "organisation.sqlite", certificate=certificate) as running:
        arguments = [running.url, "local", "local", PEOPLE.contacts[0].id, PEOPLE.deleted[0].id]
        done = subprocess.run(
            ["node", script, *arguments],
            env=os.environ | trusted,
            capture_output=True,
            text=True,
            timeout=JOURNEY_SECONDS,
            check=False,
        )
    Path(script).unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_signs_in_and_stays_at_that_address(told: dict[str, Any]) -> None:
    assert told["user"]["organizationId"].startswith("00D")
    assert told["user"]["instanceUrl"].startswith(("http://127.0.0.1:", "https://127.0.0.1:"))
    assert told["identity"]


def test_it_reads_page_after_page(told: dict[str, Any]) -> None:
    live = len(PEOPLE.contacts)
    assert told["paging"] == {"firstPage": 500, "done": False, "total": live, "fetched": live}
    gone = [person for person in (*PEOPLE.merged_contacts, *PEOPLE.deleted) if person.object_type == "Contact"]
    assert told["deletedToo"] == live + len(gone)


def test_it_finds_a_person_with_the_account(told: dict[str, Any]) -> None:
    person = PEOPLE.contacts[0]
    (found,) = told["found"]
    assert (found["Id"], found["Name"], found["HasOptedOutOfEmail"]) == (person.id, person.name, False)
    assert found["Account"]["Name"] == person.account.name


def test_it_writes_single_records(told: dict[str, Any]) -> None:
    assert told["created"]
    assert told["updated"]
    assert told["destroyed"]
    assert told["read"]["Name"] == "Ada O'Hara 🚀"
    assert told["read"]["HasOptedOutOfEmail"] is True
    assert told["upserted"] == [True, False]


def test_it_understands_every_refusal(told: dict[str, Any]) -> None:
    assert told["readAgain"]["errorCode"] == "NOT_FOUND"
    assert told["destroyedAgain"] == {"errorCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}
    assert told["nameless"] == {
        "errorCode": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [LastName]",
    }
    assert told["malformed"]["errorCode"] == "INVALID_QUERY_FILTER_OPERATOR"


def test_it_writes_two_hundred_records_in_one_call(told: dict[str, Any]) -> None:
    assert (told["manyCreated"], told["manyUpdated"], told["manyDestroyed"]) == (199, 199, 199)
    assert told["manyRefused"]["success"] is False
    assert told["manyRefused"]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert told["manyRead"]
    assert told["inTwoCalls"] == 201
    assert told["left"] == 0


def test_it_loads_and_queries_in_bulk(told: dict[str, Any]) -> None:
    text = 'two\nlines, "quoted" 🚀'
    (made,) = told["bulkInserted"]
    assert (made["sf__Created"], made["LastName"], made["Description"]) == ("true", "Bulk 1", text)
    (failed,) = told["bulkFailed"]
    assert (failed["LastName"], failed["sf__Id"]) == ("Bulk 2", "")
    assert failed["sf__Error"] == "INVALID_EMAIL_ADDRESS:Email: invalid email address: no address:Email --"
    assert told["bulkUnprocessed"] == []
    assert (told["bulkRead"]["HasOptedOutOfEmail"], told["bulkRead"]["Department"]) == (True, None)
    assert told["bulkQueried"] == [{"Id": made["sf__Id"], "Name": "Bulk 1", "Description": text}]


def test_it_reads_describe_limits_and_usage(told: dict[str, Any]) -> None:
    assert told["described"] == "Email Opt Out"
    assert {"Account", "Contact", "Lead", "Note", "Task"} <= set(told["objects"])
    assert 0 < told["limits"]["Remaining"] < told["limits"]["Max"]
    assert told["usage"]["limit"] == told["limits"]["Max"]
    assert 10 < told["usage"]["used"] < 100
