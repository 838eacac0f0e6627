"""The organisation as a whole: its file, opened by this process, and how it begins its life.

Opening makes what is missing, so a new path is a new, empty organisation with an id of its own. What is inside is
the business of `records`, `settings`, `tokens`, `usage`, `faults` and `bulk_jobs`.
"""

from __future__ import annotations

import queue
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from writeback_pipeline.local_org import (
    admin,
    bulk_jobs,
    faults,
    ids,
    query_pages,
    records,
    recycle_bin,
    sample,
    settings,
    times,
    tokens,
    usage,
)
from writeback_pipeline.local_org.schema import OBJECTS

_USERS = (
    (tokens.INTEGRATION_USER, "Integration", "User"),
    (admin.ADMINISTRATOR, "Alex", "Admin"),
    ("sales@local.example", "Sam", "Sales"),
)
_ID_SPACE = 62**7


@dataclass(frozen=True, slots=True)
class Organisation:
    """An opened organisation; connections are lent to one thread at a time and kept for the next."""

    database: Path
    _idle: queue.LifoQueue[sqlite3.Connection] = field(default_factory=queue.LifoQueue, repr=False)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for the length of the block."""
        try:
            lent = self._idle.get_nowait()
        except queue.Empty:
            lent = records.connect(self.database)
        try:
            yield lent
        finally:
            self._idle.put(lent)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


def open_org(database: Path, *, with_sample: bool = False, organisation_id: str | None = None) -> Organisation:
    """Open the organisation kept in that file; a file that does not exist becomes a new organisation.

    It is empty, or has the sample people; of several processes that open it first, one puts them in. Its id is the one
    given, or one of its own. Raises UnusableFile.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    organisation = Organisation(database)
    try:
        _prepare(organisation, organisation_id, with_sample=with_sample)
    except sqlite3.DatabaseError as error:
        organisation.close()
        raise records.UnusableFile(
            f"{database} cannot be used ({error}): correct the permissions of the file and its folder, or begin anew "
            "by `writebacks org reset`"
        ) from error
    return organisation


def _prepare(organisation: Organisation, organisation_id: str | None, *, with_sample: bool) -> None:
    with organisation.connection() as connection:
        records.create_tables(connection)
        with records.atomic(connection):
            for module in (settings, tokens, usage, recycle_bin, query_pages, faults, bulk_jobs):
                module.create_table(connection)
            if connection.execute("SELECT 1 FROM Organization").fetchone() is None:
                _found(connection, organisation_id or _new_organisation_id())
                if with_sample:
                    sample.load(connection)


def reset(database: Path) -> Organisation:
    """Remove everything and begin again with the sample people, under the same organisation id if there was one.

    Whoever has pinned the id goes on working with it. Must not run while a server has the file open.
    """
    organisation_id = _organisation_id(database)
    for leftover in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        leftover.unlink(missing_ok=True)
    return open_org(database, with_sample=True, organisation_id=organisation_id)


def _organisation_id(database: Path) -> str | None:
    """The id in a file of any make; None when there is no file, or no organisation in it that could be read."""
    if not database.exists():
        return None
    try:
        with closing(records.connect(database)) as connection:
            row = connection.execute("SELECT Id FROM Organization").fetchone()
    except sqlite3.DatabaseError:
        return None
    return row["Id"] if row else None


def _new_organisation_id() -> str:
    return ids.make(OBJECTS["Organization"].key_prefix, secrets.randbelow(_ID_SPACE))


def _found(connection: sqlite3.Connection, organisation_id: str) -> None:
    """Enter the organisation itself and its users."""
    now = times.stamp(time.time())
    users = [records.new_id(connection, OBJECTS["User"].key_prefix) for _ in _USERS]
    audit = {
        "CreatedDate": now, "CreatedById": users[1], "LastModifiedDate": now, "LastModifiedById": users[1],
        "SystemModstamp": now,
    }  # fmt: skip
    facts = {
        "Id": organisation_id,
        "Name": "Embedded Organisation", "Country": "GB",
        "LanguageLocaleKey": "en_US", "TimeZoneSidKey": "Europe/London", "OrganizationType": "Developer Edition",
        "InstanceName": "LOC1", "IsSandbox": 0,
    }  # fmt: skip
    records.insert(connection, OBJECTS["Organization"], facts | audit)
    for user_id, (username, first, last) in zip(users, _USERS, strict=True):
        person = {
            "Id": user_id, "Username": username, "FirstName": first, "LastName": last, "Name": f"{first} {last}",
            "Email": username, "IsActive": 1, "UserType": "Standard", "TimeZoneSidKey": "Europe/London",
        }  # fmt: skip
        records.insert(connection, OBJECTS["User"], person | audit)
    tokens.register_local_client(connection)
