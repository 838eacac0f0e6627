"""Storage: what a transaction undoes, what it does not, and that processes do not get in each other's way."""

import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from writeback_pipeline.local_org import admin, records, state
from writeback_pipeline.local_org.schema import OBJECTS


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = state.open_org(tmp_path / "organisation.sqlite")
    with opened.connection() as connection:
        yield connection
    opened.close()


def names(connection: sqlite3.Connection) -> list[str]:
    return [row["Name"] for row in connection.execute("SELECT Name FROM Account ORDER BY Name")]


def add(connection: sqlite3.Connection, name: str) -> str:
    return admin.create(admin.session(connection), "Account", {"Name": name})


def add_and_stop(connection: sqlite3.Connection, name: str, told: list[str]) -> None:
    with records.atomic(connection):
        told.append(add(connection, name))
        raise ValueError("stop")


def test_a_block_that_raises_leaves_nothing(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="stop"):
        add_and_stop(connection, "Acme", [])
    assert names(connection) == []
    assert not connection.in_transaction


def test_an_inner_block_that_raises_leaves_the_outer_one_alone(connection: sqlite3.Connection) -> None:
    with records.atomic(connection):
        add(connection, "Acme")
        with pytest.raises(ValueError, match="stop"):
            add_and_stop(connection, "Bolt", [])
        add(connection, "Cord")
    assert names(connection) == ["Acme", "Cord"]


def test_an_id_that_was_undone_is_never_given_again(connection: sqlite3.Connection) -> None:
    undone: list[str] = []
    with pytest.raises(ValueError, match="stop"):
        add_and_stop(connection, "Acme", undone)
    assert add(connection, "Bolt") not in undone


def test_a_read_sees_one_moment(connection: sqlite3.Connection) -> None:
    (path,) = [row[2] for row in connection.execute("PRAGMA database_list")]
    other = records.connect(Path(path))
    with records.reading(connection):
        assert names(connection) == []
        add(other, "Acme")
        assert names(connection) == []
    assert names(connection) == ["Acme"]
    other.close()


def _add_many(database: Path, count: int) -> list[str]:
    opened = state.open_org(database)
    with opened.connection() as connection:
        made = [add(connection, f"Account {number}") for number in range(count)]
    opened.close()
    return made


def test_processes_that_write_at_once_lose_nothing_and_share_no_id(tmp_path: Path) -> None:
    database = tmp_path / "organisation.sqlite"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        made = pool.starmap(_add_many, [(database, 60)] * 3)
    everything = [record_id for each in made for record_id in each]
    opened = state.open_org(database)
    with opened.connection() as connection:
        assert len(set(everything)) == len(names(connection)) == 180
        assert connection.execute("SELECT count(*) FROM Organization").fetchone()[0] == 1
        assert connection.execute("SELECT count(*) FROM User").fetchone()[0] == 3
    opened.close()


def test_every_object_has_a_table_with_its_fields(connection: sqlite3.Connection) -> None:
    for described in OBJECTS.values():
        columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({described.name})")]
        assert columns == [f.name for f in described.fields]


def test_a_file_of_another_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    database = tmp_path / "organisation.sqlite"
    older = sqlite3.connect(database)
    older.execute("CREATE TABLE Contact (Id TEXT PRIMARY KEY, LastName TEXT)")
    older.close()
    with pytest.raises(records.UnusableFile, match="writebacks org reset"):
        state.open_org(database)
