"""`/metrics`: what Prometheus reads, who may read it, and that it says nothing about anybody."""

from datetime import timedelta
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from writeback_pipeline.console.access import AccessError
from writeback_pipeline.domain.alerts import RULES, look
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.schema import MIGRATIONS
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.console.serving import START, Client, Served, local_access, serving
from writeback_pipeline_tests.contracts.story import claim_one, contact, settled, unsubscribe, written
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

TOKEN = "canary-token-of-more-than-32-characters"
HOUR = timedelta(hours=1)


def samples(client: Client) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels, as Prometheus's own parser reads them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_new_ledger_has_nothing_owed_and_its_version(client: Client) -> None:
    found = samples(client)
    assert found["writebacks_oldest_opt_out_age_seconds",] == 0
    assert found["writebacks_breaker_open",] == 0
    assert found["writebacks_schema_version",] == len(MIGRATIONS)
    assert found["writebacks_build_info", "0.1.0"] == 1


def test_what_is_owed_what_it_took_and_what_is_wrong(served: Served, client: Client) -> None:
    store: Store = served.store
    store.enqueue([unsubscribe(contact(1))], START)
    written(store, claim_one(store, START))
    store.enqueue([unsubscribe(contact(person), email="jo.doe@mail.example") for person in (2, 3)], START - 5 * HOUR)
    claim = claim_one(store, START)
    store.record([], [settled(claim, Status.FAILED)], [], START, release=True)
    store.beat("opt_out_queue_sensor", HOUR, START - HOUR)
    store.enter_incidents(look(store.health(START), None, START), frozenset(RULES), START)
    found = samples(client)
    assert found["writebacks_owed", "unsubscribe", "pending"] == 1
    assert found["writebacks_owed", "unsubscribe", "failed"] == 1
    assert found["writebacks_oldest_opt_out_age_seconds",] == 5 * 3600
    assert found["writebacks_opt_out_latency_seconds", "0.95", "queued_to_written"] == 0
    assert found["writebacks_last_tick_age_seconds", "opt_out_queue_sensor"] == 3600
    assert found["writebacks_incidents", "opt_out_overdue", "page"] == 1
    assert found["writebacks_incidents", "rows_need_a_person", "warning"] == 1
    text = client.get("/metrics").text
    assert contact(2).salesforce_id not in text
    assert "jo.doe" not in text


def test_with_accounts_a_scraper_needs_a_token_and_there_has_to_be_one(guarded: Served) -> None:
    answer = Client(guarded.address).get("/metrics")
    assert answer.status_code == 403
    assert "WRITEBACK_METRICS_TOKEN" in answer.text


def test_where_there_is_a_token_only_it_opens(tmp_path: Path) -> None:
    with serving(tmp_path, local_access({"WRITEBACK_METRICS_TOKEN": TOKEN})) as running:
        client = Client(running.address)
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", Authorization=f"Bearer {TOKEN}x").status_code == 401
        assert client.get("/metrics", Authorization=f"Bearer {TOKEN}").status_code == 200


def test_a_token_that_can_be_guessed_is_refused_at_the_start() -> None:
    with pytest.raises(AccessError, match="WRITEBACK_METRICS_TOKEN is shorter"):
        local_access({"WRITEBACK_METRICS_TOKEN": "short"})


def test_other_names_of_the_host_are_refused_as_for_every_page(served: Served) -> None:
    answer = requests.get(f"{served.address}/metrics", headers={"Host": "rebound.example"}, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 421


@pytest.mark.duckdb_file
def test_a_database_that_cannot_be_used_is_503(client: Client, tmp_path: Path) -> None:
    (tmp_path / "writebacks.duckdb").write_text("no database" * 1_000)
    assert client.get("/metrics").status_code == 503
