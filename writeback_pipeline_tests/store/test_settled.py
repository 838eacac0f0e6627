"""A writeback is owed by its status and by `settled_at`: what if somebody changes only one of them by hand?"""

from pathlib import Path

import psycopg
import pytest

from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import NOW, contact, unsubscribe
from writeback_pipeline_tests.postgres import server

BY_HAND = ("UPDATE writebacks SET status = 'written'", "UPDATE writebacks SET settled_at = created_at")


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_in_a_file_the_row_is_told_as_unaccounted(by_hand: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "writebacks.duckdb")
    store.enqueue([unsubscribe(contact(1))], NOW)
    assert store.unaccounted(NOW) == []
    with open_database(tmp_path / "writebacks.duckdb").writing() as session:
        session.execute(f"{by_hand}, note_id = '002'")
    assert len(store.unaccounted(NOW)) == 1


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_a_server_refuses_it(by_hand: str, tmp_path: Path) -> None:
    url = server().new_url()
    Store(url, tmp_path).enqueue([unsubscribe(contact(1))], NOW)
    with pytest.raises(psycopg.errors.CheckViolation), open_database(url).writing() as session:
        session.execute(by_hand)
