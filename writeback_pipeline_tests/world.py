"""A small world for tests: a ledger in a folder, an organisation that answers over HTTP, and a clock that can be set.

Real parts: the store (`ledgers` says which), the gateway over simple-salesforce, the embedded organisation. What
Salesforce users do is done through the organisation's own administration.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from writeback_pipeline.delivery.gate import Gate
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.report import DeliveryReport
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import ObjectType, object_type_of
from writeback_pipeline.domain.writebacks import Change, Kind, Writeback
from writeback_pipeline.local_org import admin, bulk_jobs, faults, usage
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline.local_org.state import Organisation, open_org
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.ledgers import location
from writeback_pipeline_tests.patience import wait_until

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        self.at += by


@dataclass
class World:
    """Everything a delivery touches."""

    home: Path
    ledger: Store
    organisation: SalesforceOrganisation
    inside: Organisation
    url: str
    database: str
    clock: Clock = field(default_factory=Clock)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def variables(self) -> dict[str, str]:
        """What a process of that home finds in its environment, to come to the same ledger and organisation."""
        return {
            "WRITEBACK_HOME": str(self.home),
            "WRITEBACK_DATABASE": self.database,
            "SALESFORCE_URL": self.url,
            "SALESFORCE_CLIENT_ID": "local",
            "SALESFORCE_CLIENT_SECRET": "local",
        }

    def store(self, **how: Any) -> Store:
        """Another store over the same ledger."""
        return Store(self.database, self.home, **how)

    def contact(self, **fields: Any) -> str:
        return self._create("Contact", {"LastName": f"Contact {next(self._numbers)}"} | fields)

    def lead(self, **fields: Any) -> str:
        number = next(self._numbers)
        return self._create("Lead", {"LastName": f"Lead {number}", "Company": f"Company {number}"} | fields)

    def as_user(self, action: Any, *arguments: Any) -> Any:
        """Do what a Salesforce user does, such as `admin.edit` or `admin.merge`."""
        with self.inside.connection() as connection:
            return action(admin.session(connection), *arguments)

    def unsubscribe(self, person: str, at: datetime | None = None, **more: Any) -> None:
        self._enqueue(Kind.UNSUBSCRIBE, person, at, more)

    def unsubscribe_all(self, people: Sequence[str]) -> None:
        """Queue one unsubscribe for each of many people at once."""
        changes = [Change(Kind.UNSUBSCRIBE, _object_type(person), person, self.clock()) for person in people]
        self.ledger.enqueue(changes, self.clock())

    def resubscribe(self, person: str, at: datetime | None = None, **more: Any) -> None:
        self._enqueue(Kind.RESUBSCRIBE, person, at, more)

    def deliver(self, **how: Any) -> DeliveryReport:
        """One delivery, as a run would make it; the clock moves on by a second first."""
        self.clock.advance(timedelta(seconds=1))
        return OptOutDelivery(self.ledger, self.organisation, self.clock, run_id="run", sleep=self.sleep).run(**how)

    def sleep(self, seconds: float) -> None:
        """Let that much time pass on the clock; the organisation does meanwhile what is due of its jobs."""
        self.clock.advance(timedelta(seconds=seconds))
        with self.inside.connection() as connection:
            wait_until(lambda: bulk_jobs.next_due(connection, time.time(), polls=0, passed_over=()) is None)

    def rows(self, person: str | None = None) -> list[Writeback]:
        """The person's writebacks, oldest event first."""
        return sorted(self.ledger.writebacks(WritebackFilter(person=person)), key=lambda row: (row.occurred_at, row.id))

    def record(self, record_id: str) -> dict[str, Any]:
        """A record as the organisation stores it, deleted or not."""
        name = {"003": "Contact", "00Q": "Lead", "002": "Note"}[record_id[:3]]
        return self.select(f"SELECT * FROM {name} WHERE Id = ?", record_id)[0]

    def opted_out(self, person: str) -> bool:
        return bool(self.record(person)["HasOptedOutOfEmail"])

    def notes(self, person: str) -> list[dict[str, Any]]:
        """The person's live Notes, in the order in which they were made."""
        return self.select("SELECT * FROM Note WHERE ParentId = ? AND IsDeleted = 0 ORDER BY Id", person)

    def hide_opt_out_field(self) -> None:
        """What a new organisation does by default: nobody sees Email Opt Out."""
        with self.inside.connection() as connection:
            org_settings.change(connection, hidden=frozenset({"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail"}))

    def select(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        with self.inside.connection() as connection:
            return [dict(row) for row in connection.execute(sql, values).fetchall()]

    @contextmanager
    def guarded(
        self, purpose: Purpose = Purpose.OPT_OUTS, *, manual: bool = False, now: Callable[[], datetime] | None = None
    ) -> Iterator[SalesforceOrganisation]:
        """A session of its own whose calls count against the ledger's budget, as every real run has one."""
        gate = Gate(self.ledger, purpose, now or self.clock, manual)
        organisation = SalesforceOrganisation(_connection(self.url), gate)
        try:
            yield organisation
            gate.leave(organisation.usage)
        finally:
            organisation.close()

    def fault(self, kind: str, **options: Any) -> None:
        """Arm a fault of the organisation."""
        with self.inside.connection() as connection:
            faults.arm(connection, kind, **options)

    def heal(self) -> None:
        """Disarm every fault."""
        with self.inside.connection() as connection:
            faults.clear(connection)

    def calls_received(self) -> int:
        """API calls that the organisation has counted."""
        with self.inside.connection() as connection:
            return usage.used(connection, time.time())

    def _create(self, name: str, fields: dict[str, Any]) -> str:
        record_id: str = self.as_user(admin.create, name, fields)
        return record_id

    def _enqueue(self, kind: Kind, person: str, at: datetime | None, more: dict[str, Any]) -> None:
        self.clock.advance(timedelta(seconds=1))
        self.ledger.enqueue([Change(kind, _object_type(person), person, at or self.clock(), **more)], self.clock())


def _object_type(person: str) -> ObjectType:
    object_type = object_type_of(person)
    assert object_type is not None
    return object_type


def _connection(url: str) -> SalesforceConnection:
    return SalesforceConnection(url, "local", ClientCredentials("local"))


@contextmanager
def world_in(home: Path, database: str | None = None) -> Iterator[World]:
    """A new, empty world in that folder; the ledger is the home's, or in that database."""
    database = database or location(home)
    organisations = home / "local_org.sqlite"
    with run_in_thread(organisations) as server:
        organisation = SalesforceOrganisation(_connection(server.url))
        inside = open_org(organisations)
        try:
            yield World(home, Store(database, home), organisation, inside, server.url, database)
        finally:
            organisation.close()
            inside.close()
