"""A ledger that an earlier release made is migrated with everything in it, on either database, and goes on."""

from pathlib import Path

import pytest

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.postgres import PostgresDatabase
from writeback_pipeline.store.schema import MIGRATIONS
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import NOW, contact, everything, lead, unsubscribe
from writeback_pipeline_tests.ledgers import contradictory, miscounted
from writeback_pipeline_tests.postgres import server
from writeback_pipeline_tests.store import homes

MISSING = "run python -m writeback_pipeline_tests.store.homes after appending a migration, and commit what it writes"


def location(kind: str, folder: Path) -> str:
    return server().new_url() if kind == "postgresql" else str(folder / "writebacks.duckdb")


def build(place: str, version: int) -> None:
    """The ledger in that place as that version left it."""
    migrations = MIGRATIONS[:version]
    if "://" in place:
        with PostgresDatabase(place, migrations=migrations, departed_too=True).writing() as session:
            homes.fill(session, version)
    else:
        with Database(Path(place), migrations=migrations, departed_too=True).writing() as session:
            homes.fill(session, version)


def test_every_version_that_was_left_behind_has_its_file_and_no_migration_was_edited() -> None:
    for version in homes.VERSIONS:
        assert homes.file_of(version).exists(), MISSING
        told = homes.file_of(version).read_text()
        assert homes.digest(version) in told, f"migration {version} was edited: append another one instead"


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
@pytest.mark.parametrize("version", homes.VERSIONS)
def test_a_ledger_of_that_version_is_migrated_and_delivery_goes_on(version: int, kind: str, tmp_path: Path) -> None:
    place = location(kind, tmp_path)
    build(place, version)
    store = Store(place, tmp_path)
    before = homes.rows_of(version)["writebacks"]
    assert sorted((row["id"], row["status"], row["delivery_key"], row["reason"]) for row in before) == sorted(
        (row.id, row.status, row.delivery_key, row.reason) for row in everything(store)
    )
    assert store.settings().platform_name == "Mailer"
    assert store.enqueue([unsubscribe(contact(3), subscriber_id="s-3")], NOW).known == 1
    assert store.enqueue([unsubscribe(contact(9))], NOW).added == 1
    claimed = {claim.person for claim in store.claim("worker", NOW.replace(year=2027), limit=9)}
    assert claimed == {contact(1), lead(2), contact(3), contact(9)}
    assert Status.SENDING not in store.depth().by_status
    with open_database(place).reading() as session:
        migrated = list(homes.columns(session))
        assert contradictory(session) == []
        assert miscounted(session) == []
    with open_database(location(kind, tmp_path / "fresh")).reading() as session:
        assert migrated == list(homes.columns(session))
        assert session.execute("SELECT max(version) FROM schema_version").fetchall() == [(len(MIGRATIONS),)]
