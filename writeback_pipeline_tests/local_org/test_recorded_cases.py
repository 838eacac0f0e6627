"""The organisation answers as Salesforce was recorded to answer: every case of `recorded/`, replayed over HTTP."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from writeback_pipeline.local_org import admin, faults, ids, sample, server, settings, state, tokens
from writeback_pipeline.local_org.schema import OBJECTS
from writeback_pipeline.local_org.settings import OrgSettings
from writeback_pipeline_tests.local_org.recorded_shapes import differences
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until

FOLDER = Path(__file__).parent / "recorded"
DESCRIBE, IDS = (json.loads((FOLDER / f"{name}.json").read_text()) for name in ("describe", "ids"))
CASES = [
    (f"{path.stem}/{case['name']}", case)
    for path in sorted(FOLDER.glob("*.json"))
    for case in json.loads(path.read_text()).get("cases", ())
]
EVERYBODY = sample.people()
_ADDRESSES = Counter((person.email or "").lower() for person in (*EVERYBODY.contacts, *EVERYBODY.leads))
_SURVIVORS = {person.became for person in (*EVERYBODY.converted_leads, *EVERYBODY.merged_contacts)}
ORDINARY = [
    person
    for person in EVERYBODY.contacts
    if person.id not in _SURVIVORS and _ADDRESSES[(person.email or "").lower()] == 1
]


class Replay:
    """A served organisation with the sample people, a signed-in client, and what the placeholders stand for."""

    def __init__(self, url: str, organisation: state.Organisation, assertion: str) -> None:
        self.url = url
        self.organisation = organisation
        form = {"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"}
        granted = requests.post(f"{url}/services/oauth2/token", data=form, timeout=PATIENCE_SECONDS).json()
        self.authorization = f"Bearer {granted['access_token']}"
        today = datetime.now(UTC).replace(microsecond=0)
        shared = next(p.email for p in EVERYBODY.contacts if p.email and p.email.isupper())
        self.known = {
            "url": url,
            "organization": granted["id"].split("/")[-2],
            "assertion_for_another_user": assertion,
            "deleted_contact": EVERYBODY.deleted[0].id,
            "unknown_contact": EVERYBODY.purged[0].id,
            "foreign_account": "001xx000003DHP0AAO",
            "shared_email": shared,
            "yesterday": (today - timedelta(days=1)).isoformat(),
            "tomorrow": (today + timedelta(days=1)).isoformat(),
        }

    def ask(self, request: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": self.authorization} | request.get("headers", {})
        if request.get("token") == "none":
            headers.pop("Authorization")
        elif request.get("token") == "expired":
            headers["Authorization"] = "Bearer 00Dxx0000000001!expired"
        data = request.get("form", request.get("text"))
        return requests.request(
            request["method"], f"{self.url}{request['path']}", params=request.get("query"), headers=headers,
            json=request.get("body"), data=data, timeout=PATIENCE_SECONDS, allow_redirects=False,
        )  # fmt: skip

    def ask_until(self, request: dict[str, Any], state: str) -> requests.Response:
        """The answer that tells that state of a job."""
        wait_until(lambda: self.ask(request).json()["state"] == state)
        return self.ask(request)

    @contextmanager
    def given(self, changes: dict[str, Any], armed: Sequence[dict[str, Any]] = ()) -> Iterator[None]:
        with self.organisation.connection() as connection:
            settings.change(connection, **changes)
            for fault in armed:
                faults.arm(connection, fault["kind"], **{name: fault[name] for name in fault if name != "kind"})
            try:
                yield
            finally:
                settings.change(connection, **asdict(OrgSettings()))
                faults.clear(connection)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    folder = tmp_path_factory.mktemp("recorded")
    organisation = state.reset(folder / "organisation.sqlite")
    with organisation.connection() as connection:
        client = tokens.create_jwt_client(connection, folder)
    expires = datetime.now(UTC) + timedelta(minutes=3)
    claims = {
        "iss": client.client_id,
        "sub": admin.ADMINISTRATOR,
        "aud": "https://login.salesforce.com",
        "exp": expires,
    }
    assertion = jwt.encode(claims, client.private_key_path.read_text(), "RS256")
    with server.run_in_thread(folder / "organisation.sqlite") as running:
        yield Replay(running.url, organisation, assertion)
    organisation.close()


def own_people(number: int) -> dict[str, str]:
    """Records that no other case touches."""
    first, second, third = ORDINARY[3 * number : 3 * number + 3]
    return {
        "contact": first.id,
        "contact_email": first.email or "",
        "contact_2": second.id,
        "contact_3": third.id,
        "lead": EVERYBODY.leads[number].id,
        "account": EVERYBODY.accounts[-2 * number - 1].id,
        "account_2": EVERYBODY.accounts[-2 * number - 2].id,
        "key": f"case-{number}",
    }


def filled_in(template: Any, known: dict[str, str]) -> Any:
    """The template with every `{placeholder}` replaced, and `{"repeat": n, "of": x}` spelled out."""
    match template:
        case {"repeat": int(times), "of": str(text)}:
            return text * times
        case {"repeat": int(times), "of": item}:
            return [filled_in(item, known)] * times
        case dict():
            return {name: filled_in(value, known) for name, value in template.items()}
        case list():
            return [filled_in(value, known) for value in template]
        case str():
            return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), template)
        case _:
            return template


def remembered(body: Any, path: str) -> str:
    for step in path.split("."):
        body = body[int(step)] if isinstance(body, list) else body[step]
    return str(body)


def test_the_overview_names_every_case() -> None:
    overview = (FOLDER / "README.md").read_text()
    described = [f"describe/{case['name']}" for case in DESCRIBE["objects"]]
    missing = [name for name in (*(name for name, _ in CASES), *described) if f"`{name}`" not in overview]
    assert not missing


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name for name, _ in CASES])
def test_the_answer_is_as_it_was_recorded(replay: Replay, number: int) -> None:
    known = replay.known | own_people(number)
    for step in CASES[number][1]["steps"]:
        with replay.given(step.get("given", {}), filled_in(step.get("armed", []), known)):
            request = filled_in(step["request"], known)
            answer = replay.ask_until(request, step["until"]) if "until" in step else replay.ask(request)
        expected = filled_in(step["expect"], known)
        assert answer.status_code == expected["status"], answer.text
        for name, shape in expected.get("headers", {}).items():
            assert not differences(shape, answer.headers.get(name), name)
        for pattern in expected.get("text", ()):
            assert re.search(pattern, answer.text), answer.text
        if "body" in expected:
            assert not differences(expected["body"], answer.json())
        for name, path in step.get("remember", {}).items():
            known[name] = remembered(answer.json(), path)


@pytest.mark.parametrize("case", DESCRIBE["objects"], ids=lambda case: case["name"])
def test_describe_says_what_was_recorded_of_every_field(replay: Replay, case: dict[str, Any]) -> None:
    described = replay.ask({"method": "GET", "path": f"/services/data/v60.0/sobjects/{case['object']}/describe"}).json()
    known = {"object": case["object"], "key_prefix": OBJECTS[case["object"]].key_prefix}
    assert not differences(filled_in(DESCRIBE["shape"], known), described)
    ours = {f["name"]: [f[name] for name in case["attributes"]] for f in described["fields"]}
    shared = ours.keys() & case["fields"].keys()
    assert {name: ours[name] for name in shared} == {name: case["fields"][name] for name in shared}
    members = ("childSObject", "field", "relationshipName", "cascadeDelete")
    children = [[child[name] for name in members] for child in described["childRelationships"]]
    assert all(child in children for child in case.get("children", ()) if child[0] in OBJECTS)
    unknown = ours.keys() - case["fields"].keys()
    assert not case["fields"] or unknown <= {"HasOptedOutOfEmail", "Writeback_Key__c"}


@pytest.mark.parametrize("name", ["Contact", "Lead"])
def test_a_new_organisations_describe_hides_the_opt_out_flag_from_whom_it_is_not_shown(
    replay: Replay, name: str
) -> None:
    with replay.given({"hidden": frozenset({f"{name}.HasOptedOutOfEmail"})}):
        described = replay.ask({"method": "GET", "path": f"/services/data/v60.0/sobjects/{name}/describe"}).json()
    assert "HasOptedOutOfEmail" not in {f["name"] for f in described["fields"]}


def test_key_prefixes_are_the_recorded_ones(replay: Replay) -> None:
    overview = replay.ask({"method": "GET", "path": "/services/data/v59.0/sobjects"}).json()
    assert not differences({"encoding": "=UTF-8", "maxBatchSize": 200, "sobjects": {"[1+]": "object"}}, overview)
    ours = {described["name"]: described["keyPrefix"] for described in overview["sobjects"]}
    recorded = IDS["key_prefixes_2026"]["prefixes"]
    assert {name: ours[name] for name in recorded} == recorded


def test_every_recorded_id_satisfies_the_suffix_rule() -> None:
    assert len(IDS["recorded_ids"]["valid"]) >= 200
    for recorded in IDS["recorded_ids"]["valid"]:
        assert ids.suffix(recorded[:15]) == recorded[15:]
        assert ids.normalise(recorded[:15]) == ids.normalise(recorded) == recorded
    for wrong in IDS["recorded_ids"]["wrong_suffix"]:
        assert ids.normalise(wrong) is None
