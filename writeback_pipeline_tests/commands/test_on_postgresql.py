"""The command line on a PostgreSQL server: it queues, lists and checks there, and no secret of the URL is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from writeback_pipeline.cli import main
from writeback_pipeline.local_org.sample import people
from writeback_pipeline_tests.postgres import server

PERSON = people().contacts[0].id


@pytest.fixture
def url() -> str:
    return server().new_url().replace("writebacks@", "writebacks:s3cret@")


@pytest.fixture
def writebacks(home: Path, url: str) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        environment = {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": url, "SALESFORCE_URL": None}
        return CliRunner().invoke(main, list(arguments), env=environment)

    return call


def test_what_is_queued_there_is_listed_from_there(writebacks: Callable[..., Result], home: Path) -> None:
    assert writebacks("enqueue", "unsubscribe", "--contact", PERSON).exit_code == 0
    (row,) = json.loads(writebacks("list", "--format", "json").stdout)
    assert (row["salesforce_id"], row["status"]) == (PERSON, "pending")
    assert not list(home.glob("*.duckdb"))


def test_check_tells_of_a_server_that_may_lose_what_it_acknowledged(writebacks: Callable[..., Result]) -> None:
    result = writebacks("check", "--format", "json")
    told = {each["subject"]: each for each in json.loads(result.stdout)["findings"]}
    assert told["database"]["level"] == "ok"
    assert told["database server"]["level"] == "failure", "the tests' server does not sync"
    assert "fsync" in told["database server"]["told"]
    assert result.exit_code == 2


def test_a_wrong_password_or_server_is_told_without_it(home: Path, url: str) -> None:
    for wrong in (url.replace("writebacks:", "nobody:"), "postgresql://a:s3cret@x@y/z", "mysql://a:s3cret@y/z"):
        environment = {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": wrong}
        result = CliRunner().invoke(main, ["list"], env=environment)
        assert result.exit_code == 2
        assert "WRITEBACK_DATABASE" in result.stderr
        assert "s3cret" not in result.output


def test_the_code_location_shows_where_the_database_is_and_no_password(
    home: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from writeback_pipeline.definitions import production_resources

    monkeypatch.setenv("WRITEBACK_HOME", str(home))
    monkeypatch.setenv("WRITEBACK_DATABASE", url)
    database = production_resources()["platform_database"]
    assert database.database.startswith("postgresql://writebacks@")
    assert "s3cret" not in repr(database)
    assert database.ledger().depth().owed == 0
    with database.get_connection() as session:
        assert session.execute("SELECT count(*) FROM writebacks").fetchall() == [(0,)]
