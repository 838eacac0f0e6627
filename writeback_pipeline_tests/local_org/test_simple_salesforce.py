"""The real client library, unmodified but for the address: over TLS, and over plain http through its session."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceOperationError,
    SalesforceResourceNotFound,
)
from simple_salesforce.login import SalesforceLogin

from writeback_pipeline.local_org import certificates, server, settings, state, tokens
from writeback_pipeline.local_org.state import Organisation


class ToLoopback(HTTPAdapter):
    """Sends every https request to the embedded organisation instead."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        request.url = f"{self.url}{parts.path}{f'?{parts.query}' if parts.query else ''}"
        return super().send(request, *args, **more)


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Organisation]:
    opened = state.open_org(tmp_path_factory.mktemp("organisation") / "organisation.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plain(organisation: Organisation) -> Iterator[requests.Session]:
    with server.run_in_thread(organisation.database) as running, requests.Session() as session:
        session.mount("https://", ToLoopback(running.url))
        yield session


@pytest.fixture
def sf(plain: requests.Session) -> Any:  # its attributes are made up when asked for
    return Salesforce(consumer_key="local", consumer_secret="local", domain="acme.my", session=plain)


def test_it_signs_in_with_client_credentials_over_tls(organisation: Organisation, tmp_path: Path) -> None:
    certificate = certificates.for_loopback(tmp_path)
    assert certificates.for_loopback(tmp_path).path.read_bytes() == certificate.path.read_bytes()
    with (
        server.run_in_thread(organisation.database, certificate=certificate) as running,
        requests.Session() as session,
    ):
        assert running.url.startswith("https://127.0.0.1:")
        session.trust_env = False  # the machine's own list of authorities would go before this one
        session.verify = str(certificate.path)
        answer = session.post(
            f"{running.url}/services/oauth2/token",
            data={"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"},
            timeout=30,
        ).json()
        sf: Any = Salesforce(session_id=answer["access_token"], instance_url=answer["instance_url"], session=session)
        created = sf.Contact.create({"LastName": "Over TLS"})
        assert sf.Contact.get(created["id"])["LastName"] == "Over TLS"


def test_it_signs_in_with_a_signed_assertion(
    organisation: Organisation, plain: requests.Session, tmp_path: Path
) -> None:
    with organisation.connection() as connection:
        client = tokens.create_jwt_client(connection, tmp_path)
    sf = Salesforce(
        username=client.username,
        consumer_key=client.client_id,
        privatekey_file=str(client.private_key_path),
        session=plain,
    )
    assert sf.query("SELECT COUNT() FROM User")["totalSize"] == 3


def test_it_signs_in_by_soap_only_when_that_is_allowed(organisation: Organisation, plain: requests.Session) -> None:
    person: dict[str, Any] = {
        "username": "local@local.example",
        "password": "local",
        "security_token": "",
        "session": plain,
    }
    with pytest.raises(SalesforceAuthenticationFailed, match="SOAP API login"):
        SalesforceLogin(**person)
    with organisation.connection() as connection:
        settings.change(connection, soap_login=True)
    sf: Any = Salesforce(**person)
    assert sf.Organization.describe()["keyPrefix"] == "00D"
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        SalesforceLogin(**person | {"password": "wrong"})


def test_a_wrong_secret_is_its_authentication_error(plain: requests.Session) -> None:
    with pytest.raises(SalesforceAuthenticationFailed):
        Salesforce(consumer_key="local", consumer_secret="wrong", domain="acme.my", session=plain)


def test_it_creates_reads_changes_and_deletes(sf: Any) -> None:
    created = sf.Contact.create({"LastName": "Ng", "Email": "ng@example.org"})
    assert created["success"] is True
    assert sf.Contact.update(created["id"], {"HasOptedOutOfEmail": True}) == 204
    assert sf.Contact.get(created["id"])["HasOptedOutOfEmail"] is True
    assert sf.Contact.get_by_custom_id("Email", "ng@example.org")["Id"] == created["id"]
    assert sf.Contact.delete(created["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        sf.Contact.get(created["id"])


def test_it_upserts_by_external_id(sf: Any) -> None:
    assert sf.Task.upsert("Writeback_Key__c/k1", {"Subject": "one"}) == 201
    assert sf.Task.upsert("Writeback_Key__c/k1", {"Subject": "two"}) == 200
    for _ in range(2):
        sf.Lead.create({"LastName": "Twin", "Company": "x", "Email": "twin@example.org"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Lead.upsert("Email/twin@example.org", {"LastName": "One"})


def test_it_turns_a_refusal_into_its_own_error(sf: Any) -> None:
    with pytest.raises(SalesforceMalformedRequest, match="REQUIRED_FIELD_MISSING"):
        sf.Contact.create({"FirstName": "Nobody"})


def test_it_follows_the_pages_of_a_query(sf: Any) -> None:
    for start in range(0, 2400, 200):
        rows = [{"attributes": {"type": "Account"}, "Name": f"Page {start + place:04}"} for place in range(200)]
        sf.restful("composite/sobjects", method="POST", json={"records": rows})
    found = sf.query_all("SELECT Name FROM Account WHERE Name LIKE 'Page %' ORDER BY Name")
    assert (found["totalSize"], found["done"]) == (2400, True)
    assert [record["Name"] for record in found["records"]] == [f"Page {number:04}" for number in range(2400)]


def test_it_reads_limits_and_descriptions(sf: Any) -> None:
    assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
    assert "Contact" in [each["name"] for each in sf.describe()["sobjects"]]
    assert sf.Note.describe()["label"] == "Note"
    assert sf.Note.metadata()["objectDescribe"]["keyPrefix"] == "002"


def test_an_expired_session_is_its_error(plain: requests.Session) -> None:
    sf = Salesforce(session_id="00D!worthless", instance="acme.my.salesforce.com", session=plain)
    with pytest.raises(SalesforceExpiredSession):
        sf.query("SELECT Id FROM Contact")


def test_it_loads_and_queries_in_bulk(sf: Any) -> None:
    records = [{"LastName": "Bulk", "Department": "bulk"}, {"LastName": "Bulk", "Email": "no address"}]
    (inserted,) = sf.bulk2.Contact.insert(records=records, wait=0)
    assert (inserted["numberRecordsProcessed"], inserted["numberRecordsFailed"]) == (2, 1)
    (made,) = csv.DictReader(sf.bulk2.Contact.get_successful_records(inserted["job_id"]).splitlines())
    (failed,) = csv.DictReader(sf.bulk2.Contact.get_failed_records(inserted["job_id"]).splitlines())
    assert failed["sf__Error"].startswith("INVALID_EMAIL_ADDRESS:")
    header = ",".join(column for column in made if not column.startswith("sf__"))  # it puts them in any order
    assert sf.bulk2.Contact.get_unprocessed_records(inserted["job_id"]) == f"{header}\n"
    person = made["sf__Id"]
    sf.bulk2.Contact.update(records=[{"Id": person, "HasOptedOutOfEmail": "true"}], wait=0)
    assert sf.Contact.get(person)["HasOptedOutOfEmail"] is True
    pages = list(sf.bulk2.Contact.query(f"SELECT Id, LastName FROM Contact WHERE Id = '{person}'", wait=0))
    assert pages == [f'"Id","LastName"\n"{person}","Bulk"\n']
    (deleted,) = sf.bulk2.Contact.delete(records=[{"Id": person}], wait=0)
    assert deleted["numberRecordsFailed"] == 0
    with pytest.raises(SalesforceOperationError, match="Field name not found : Nope"):
        sf.bulk2.Contact.insert(records=[{"Nope": "x"}], wait=0)
