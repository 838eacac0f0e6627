"""Migrations: applied once, in order, all or nothing; a newer schema is refused."""

from pathlib import Path

import duckdb
import pytest

from writeback_pipeline.domain.settings import WritebackSettings, as_mapping, setting_text
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.schema import MIGRATIONS, Migration

NEXT: Migration = ("ALTER TABLE people ADD COLUMN nickname TEXT", "UPDATE people SET nickname = 'none'")
BROKEN: Migration = ("ALTER TABLE people ADD COLUMN nickname TEXT", "UPDATE no_such_table SET x = 1")


def versions(path: Path) -> list[int]:
    with duckdb.connect(str(path)) as connection:
        return [
            version for (version,) in connection.execute("SELECT version FROM schema_version ORDER BY 1").fetchall()
        ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a database as this release makes it, with a person in it."""
    file = tmp_path / "writebacks.duckdb"
    with Database(file).writing() as session:
        session.execute("INSERT INTO people (person_id, object_type) VALUES ('003', 'Contact')")
    return file


def test_a_new_file_gets_every_migration_once(path: Path) -> None:
    with Database(path).writing():
        pass
    assert versions(path) == list(range(1, len(MIGRATIONS) + 1))


def test_table_definitions_are_in_the_file_not_in_the_log_beside_it(tmp_path: Path) -> None:
    with Database(tmp_path / "writebacks.duckdb").writing():
        assert not (tmp_path / "writebacks.duckdb.wal").exists()


@pytest.mark.parametrize("look", [True, False])
def test_an_older_file_is_migrated_by_the_first_open_and_keeps_its_rows(path: Path, look: bool) -> None:
    newer = Database(path, migrations=(*MIGRATIONS, NEXT))
    with newer.reading() if look else newer.writing() as session:
        assert session.execute("SELECT person_id, nickname FROM people").fetchall() == [("003", "none")]
    assert versions(path) == list(range(1, len(MIGRATIONS) + 2))


def test_a_migration_that_breaks_off_leaves_the_file_as_it_was(path: Path) -> None:
    with pytest.raises(duckdb.CatalogException), Database(path, migrations=(*MIGRATIONS, BROKEN)).writing():
        pass
    assert versions(path) == list(range(1, len(MIGRATIONS) + 1))
    with Database(path, migrations=(*MIGRATIONS, NEXT)).reading() as session:
        assert session.execute("SELECT nickname FROM people").fetchall() == [("none",)]


@pytest.mark.parametrize("look", [True, False])
def test_a_file_of_a_newer_release_is_refused_untouched(path: Path, look: bool) -> None:
    with Database(path, migrations=(*MIGRATIONS, NEXT)).writing():
        pass
    older = Database(path)
    with pytest.raises(StoreUnusable, match="a newer release") as raised, older.reading() if look else older.writing():
        pass
    assert str(path) in str(raised.value)
    assert versions(path) == list(range(1, len(MIGRATIONS) + 2))


def test_every_setting_has_a_row_with_its_default_from_the_start(path: Path) -> None:
    with Database(path).reading() as session:
        stored = session.execute("SELECT name, value FROM settings").fetchall()
    assert dict(stored) == {name: setting_text(value) for name, value in as_mapping(WritebackSettings()).items()}


def test_besides_primary_and_unique_keys_only_people_s_rows_are_indexed(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        indexes = connection.execute("SELECT table_name, expressions FROM duckdb_indexes() ORDER BY 1").fetchall()
        assert indexes == [("opt_out_origins", "[person_id]"), ("writebacks", "[person_id]")]
        kinds = connection.execute("SELECT DISTINCT constraint_type FROM duckdb_constraints()").fetchall()
    assert {kind for (kind,) in kinds} == {"PRIMARY KEY", "UNIQUE", "NOT NULL"}
