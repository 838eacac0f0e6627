"""A plain client of the embedded organisation, for tests that look at single requests and answers."""

import sqlite3
from dataclasses import dataclass, field
from typing import Any

import requests

from writeback_pipeline.local_org import admin, settings, times
from writeback_pipeline.local_org.session import Session
from writeback_pipeline.local_org.state import Organisation
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

CLIENT = {"client_id": "local", "client_secret": "local"}


@dataclass
class Clock:
    """A clock that tests set forward."""

    now: float = 1_795_424_400.0  # 2026-11-23T09:00:00Z

    def __call__(self) -> float:
        return self.now


@dataclass
class Api:
    """Signed in with client credentials; paths are those below /services/data/vXX.0/."""

    url: str
    version: str = "67.0"
    http: requests.Session = field(default_factory=requests.Session)

    def sign_in(self) -> str:
        form = {"grant_type": "client_credentials", **CLIENT}
        answer = self.http.post(f"{self.url}/services/oauth2/token", data=form, timeout=PATIENCE_SECONDS)
        token: str = answer.json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"
        return token

    @property
    def root(self) -> str:
        return f"/services/data/v{self.version}"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.http.request(method, f"{self.url}{self.root}/{path}", timeout=PATIENCE_SECONDS, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.call("POST", path, json=body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.call("PATCH", path, json=body, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        return self.call("DELETE", path, **more)

    def create(self, sobject: str, **values: Any) -> str:
        answer = self.post(f"sobjects/{sobject}", values)
        assert answer.status_code == 201, answer.text
        record_id: str = answer.json()["id"]
        return record_id

    def read(self, sobject: str, record_id: str, *fields: str) -> dict[str, Any]:
        answer = self.get(f"sobjects/{sobject}/{record_id}", params={"fields": ",".join(fields)} if fields else None)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def query(self, soql: str, resource: str = "query") -> list[dict[str, Any]]:
        answer = self.get(resource, params={"q": soql})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["records"]
        return found


@dataclass
class Org:
    """The organisation behind the server, for what an administrator does."""

    organisation: Organisation
    connection: sqlite3.Connection
    clock: Clock

    def administrator(self) -> Session:
        return admin.session(self.connection, now=times.stamp(self.clock()))

    def set(self, **changes: Any) -> None:
        settings.change(self.connection, **changes)


def error(answer: requests.Response) -> tuple[int, str]:
    """Status and code of a refused request."""
    return answer.status_code, answer.json()[0]["errorCode"]


def row_error(outcome: dict[str, Any]) -> str:
    """Code of a refused row."""
    assert outcome["success"] is False
    code: str = outcome["errors"][0]["statusCode"]
    return code
