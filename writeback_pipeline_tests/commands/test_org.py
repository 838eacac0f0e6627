"""The embedded organisation from the command line: served, made anew, looked into."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from writeback_pipeline.local_org import admin
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

SENTENCE = "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"


@pytest.fixture(scope="module")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "local_org.sqlite"
    open_org(path, with_sample=True).close()
    return path


@pytest.fixture
def sample(home: Path, sample_file: Path) -> Path:
    """A home whose organisation has the sample people."""
    home.mkdir()
    shutil.copy(sample_file, home)
    return home


def create(home: Path, object_name: str, **values: object) -> str:
    organisation = open_org(home / "local_org.sqlite")
    with organisation.connection() as connection:
        record_id = admin.create(admin.session(connection, now="2026-11-23T09:10:00.000+0000"), object_name, values)
    organisation.close()
    return record_id


def page(writebacks: Writebacks, salesforce_id: str) -> Mapping[str, object]:
    result = writebacks("org", "show", salesforce_id, "--format", "json")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert isinstance(shown, dict)
    return shown


def test_a_person_is_shown_as_a_salesforce_user_sees_them(writebacks: Writebacks, sample: Path) -> None:
    person = next(p for p in people().contacts if p not in people().opted_out_in_salesforce)
    create(sample, "Note", ParentId=person.id, Title=SENTENCE, Body=f"{SENTENCE}\nReason: Bad\x1b[2JEmail")
    create(sample, "Task", WhoId=person.id, Subject="Informz: 2 sent", Status="Completed", ActivityDate="2026-11-22")
    create(sample, "Task", WhoId=person.id, Subject="Call back", Status="Not Started")
    text = writebacks("org", "show", person.id[:15]).stdout
    assert text.splitlines() == [
        f"Contact {person.id}  {person.name}",
        f"  Account        {person.account.name}",
        f"  Email          {person.email}",
        "  Email Opt Out  no",
        "  State          active",
        "",
        "Notes (1)",
        f"  2026-11-23T09:10:00Z  {SENTENCE}",
        f"      {SENTENCE}",
        "      Reason: Bad [2JEmail",
        "",
        "Activity History (1)",
        "  2026-11-22  Informz: 2 sent  (Completed)",
    ]


def test_json_has_the_same_facts(writebacks: Writebacks, sample: Path) -> None:
    person = people().opted_out_in_salesforce[-1]
    create(sample, "Note", ParentId=person.id, Title=SENTENCE, Body="one\ntwo")
    shown = page(writebacks, person.id)
    assert (shown["id"], shown["object_type"], shown["name"]) == (person.id, "Lead", person.name)
    assert (shown["company"], shown["email"], shown["email_opt_out"]) == (person.account.name, person.email, True)
    assert isinstance(shown["notes"], list)
    (note,) = shown["notes"]
    assert (note["title"], note["body"], note["created_at"]) == (SENTENCE, "one\ntwo", "2026-11-23T09:10:00Z")
    assert shown["activity_history"] == []


def test_a_lightning_note_is_shown_as_text(writebacks: Writebacks, sample: Path) -> None:
    person = people().contacts[0]
    note_id = create(sample, "ContentNote", Title=SENTENCE, Content="PHA+YSAmYW1wOyBiPC9wPmM8YnI+ZA==")
    create(sample, "ContentDocumentLink", LinkedEntityId=person.id, ContentDocumentId=note_id)
    notes = page(writebacks, person.id)["notes"]
    assert isinstance(notes, list)
    assert [(note["id"], note["title"], note["body"]) for note in notes] == [(note_id, SENTENCE, "a & b\nc\nd")]


def test_a_person_who_has_moved_on_is_shown_with_where_to(writebacks: Writebacks, sample: Path) -> None:
    converted, merged = people().converted_leads[0], people().merged_contacts[0]
    assert (page(writebacks, converted.id)["state"], page(writebacks, converted.id)["became"]) == (
        "converted",
        converted.became,
    )
    assert (page(writebacks, merged.id)["state"], page(writebacks, merged.id)["became"]) == ("merged", merged.became)
    assert f"State          merged into {merged.became}" in writebacks("org", "show", merged.id).stdout


def test_a_deleted_person_is_shown_in_the_recycle_bin(writebacks: Writebacks, sample: Path) -> None:
    deleted = people().deleted[0]
    assert page(writebacks, deleted.id)["state"] == "deleted"
    assert "State          in the recycle bin" in writebacks("org", "show", deleted.id).stdout


def test_somebody_the_organisation_does_not_have_is_said_to_be_gone(writebacks: Writebacks, sample: Path) -> None:
    result = writebacks("org", "show", people().purged[0].id)
    assert result.exit_code == 2
    assert "it never had it, or it was purged" in result.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("x", "is not a Salesforce id"), ("001wb000000CcWN", "is not the id of a Contact (003...) or Lead (00Q...)")],
)
def test_an_id_of_nobody_is_refused(writebacks: Writebacks, text: str, says: str) -> None:
    result = writebacks("org", "show", text)
    assert result.exit_code == 2
    assert says in result.stderr


def test_looking_into_an_organisation_that_is_not_there_makes_none(writebacks: Writebacks, home: Path) -> None:
    result = writebacks("org", "show", people().contacts[0].id)
    assert result.exit_code == 2
    assert "there is no embedded organisation yet" in result.stderr
    assert not home.exists()


def test_where_the_variables_name_another_organisation_it_is_said_which_one_this_is(
    writebacks: Writebacks, sample: Path
) -> None:
    person = people().contacts[0].id
    commands = (("org", "show", person, "--format", "json"), ("org", "faults"), ("org", "reset"))
    assert [writebacks(*command).stderr for command in commands] == [""] * 3
    results = [writebacks(*command, SALESFORCE_URL="https://real.my.salesforce.com") for command in commands]
    which = f"the embedded organisation, {sample}/local_org.sqlite, not the one that the SALESFORCE_ variables name."
    assert [(result.exit_code, result.stderr) for result in results] == [(0, f"This is {which}\n")] * 3
    assert json.loads(results[0].stdout)["id"] == person


def test_reset_brings_everybody_back_as_they_were(writebacks: Writebacks, sample: Path) -> None:
    person = people().contacts[0]
    create(sample, "Note", ParentId=person.id, Title=SENTENCE)
    result = writebacks("org", "reset")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{sample}/local_org.sqlite is a new organisation with 1,500 Contacts, 7")
    assert page(writebacks, person.id)["notes"] == []


@pytest.mark.duckdb_file
def test_reset_says_that_it_leaves_a_ledger_alone_where_there_is_one(writebacks: Writebacks, sample: Path) -> None:
    assert "left as it is" not in writebacks("org", "reset").stdout
    writebacks("settings", "set", "sent=false")
    assert f"{sample}/writebacks.duckdb was left as it is" in writebacks("org", "reset").stdout
    assert '"sent": false' in writebacks("settings", "show", "--format", "json").stdout


def serve(home: Path, *options: str, until: str) -> tuple[subprocess.Popen[str], str]:
    """A serving process, and what it told up to the line with that text."""
    server = subprocess.Popen(
        [*COMMAND, "org", "serve", "--port", "0", *options],
        env={**os.environ, **ledgers.variables(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    told = ""
    while until not in told:
        line = server.stdout.readline()
        assert line, server.communicate()
        told += line
    return server, told


def sees_the_package(url: str) -> list[bool]:
    """Whether a client of that server sees Email Opt Out, the key of Tasks, and key records."""
    credentials = {"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"}
    token = requests.post(f"{url}/services/oauth2/token", data=credentials, timeout=PATIENCE_SECONDS).json()[
        "access_token"
    ]
    described = {
        name: requests.get(
            f"{url}/services/data/v67.0/sobjects/{name}/describe",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE_SECONDS,
        )
        for name in ("Contact", "Task", "Writeback__c")
    }
    return [
        "HasOptedOutOfEmail" in described["Contact"].text,
        "Writeback_Key__c" in described["Task"].text,
        described["Writeback__c"].status_code == 200,
    ]


def test_the_organisation_is_served_with_or_without_the_package(home: Path) -> None:
    for options, expected in (((), True), (("--without-package",), False), ((), False), (("--with-package",), True)):
        server, told = serve(home, *options, until="listening")
        seen = sees_the_package(told.split()[-1])
        server.terminate()
        assert server.communicate(timeout=PATIENCE_SECONDS)[1] == ""
        assert seen == [expected] * 3


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serving_tells_how_to_get_in_and_ends_cleanly(home: Path, ending: signal.Signals) -> None:
    server, told = serve(home, "--tls-port", "0", until="certificate to trust")
    plain, secure = re.findall(r"https?://127\.0\.0\.1:\d+", told)
    certificate = re.search(r"certificate to trust: (.*)\)", told)
    key = re.search(r"private key (.*?),", told)
    assert certificate is not None
    assert key is not None
    assert Path(key[1]).read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "client id local, client secret local" in told
    credentials = {"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"}
    for url, verify in ((plain, True), (secure, certificate[1])):
        answer = requests.post(
            f"{url}/services/oauth2/token", data=credentials, verify=verify, timeout=PATIENCE_SECONDS
        )
        assert answer.status_code == 200
    server.send_signal(ending)
    _, errors = server.communicate(timeout=PATIENCE_SECONDS)
    assert (server.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_told(writebacks: Writebacks, sample: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = writebacks("org", "serve", "--port", taken.getsockname()[1])
    assert result.exit_code == 2
    assert "Error: the port cannot be used (Address already in use): choose others" in result.stderr


def test_a_box_is_ticked_as_a_salesforce_user_does(writebacks: Writebacks) -> None:
    person = people().contacts[0].id
    assert (
        "there is no embedded organisation yet" in writebacks("org", "edit", person, "HasOptedOutOfEmail=true").stderr
    )
    assert writebacks("org", "reset").exit_code == 0
    for ticked in (True, False):
        edited = writebacks("org", "edit", person, f"HasOptedOutOfEmail={str(ticked).lower()}", "Title=Chair")
        assert edited.exit_code == 0
        shown = json.loads(writebacks("org", "show", person, "--format", "json").stdout)
        assert shown["email_opt_out"] is ticked


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("003000000000001AAA", "HasOptedOutOfEmail=true"), "INVALID_CROSS_REFERENCE_KEY"),
        (("nonsense", "HasOptedOutOfEmail=true"), "nonsense"),
        ((people().contacts[0].id, "Nonsense=true"), "Nonsense"),
        ((people().contacts[0].id, "HasOptedOutOfEmail"), "write FIELD=VALUE"),
    ],
)
def test_what_cannot_be_edited_is_wrong_input(writebacks: Writebacks, arguments: tuple[str, ...], told: str) -> None:
    writebacks("org", "reset")
    result = writebacks("org", "edit", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
