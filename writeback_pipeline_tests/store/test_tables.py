"""What people who look into the tables themselves find there."""

from pathlib import Path

import pytest

from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.settings import InvalidSetting
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import MINUTE, NOW, claim_one, contact, resubscribe, unsubscribe, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writebacks.duckdb"


def desired(path: Path, person: PersonRef) -> bool | None:
    with Database(path).reading() as session:
        [(flag,)] = session.execute(
            "SELECT desired_flag FROM people WHERE person_id = $1", [person.salesforce_id]
        ).fetchall()
    assert flag in (None, True, False)
    return flag  # type: ignore[no-any-return]


def test_the_desired_flag_follows_the_opt_outs_that_stand(path: Path) -> None:
    store, person = Store(path), contact(1)
    store.enqueue([unsubscribe(person)], NOW)
    assert desired(path, person) is None
    written(store, claim_one(store))
    assert desired(path, person) is True
    store.enqueue([resubscribe(person, NOW + MINUTE)], NOW)
    written(store, claim_one(store))
    assert desired(path, person) is False


def test_the_desired_flag_of_two_who_became_one_is_that_of_both(path: Path) -> None:
    store = Store(path)
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2)), resubscribe(contact(2), NOW + MINUTE)], NOW)
    written(store, claim_one(store))
    written(store, claim_one(store))
    assert desired(path, contact(2)) is False
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    assert desired(path, contact(2)) is True


def test_the_flag_can_be_suppressed_by_hand_in_the_settings_table(path: Path) -> None:
    store = Store(path)
    assert not store.settings().suppress_opt_out_flag
    with Database(path).writing() as session:
        session.execute("UPDATE settings SET value = 'true' WHERE name = 'suppress_opt_out_flag'")
    assert store.settings().suppress_opt_out_flag
    (change,) = store.change_settings({"suppress_opt_out_flag": "false"}, "ada", NOW)
    assert (change.old, change.new) == ("true", "false")


def test_a_value_put_in_by_hand_that_a_setting_does_not_take_is_named(path: Path) -> None:
    with Database(path).writing() as session:
        session.execute("UPDATE settings SET value = 'yes' WHERE name = 'suppress_opt_out_flag'")
    with pytest.raises(InvalidSetting, match="suppress_opt_out_flag takes true or false, not 'yes'"):
        Store(path).settings()
