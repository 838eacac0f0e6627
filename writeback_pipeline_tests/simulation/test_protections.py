"""The same rules broken where only the store, the gateway or the budget has them: each time a test of theirs fails."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from writeback_pipeline.domain import opt_outs, planning, reading_back
from writeback_pipeline.salesforce import errors, graphs, lookup
from writeback_pipeline.salesforce.calls import Request
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.salesforce.session import OrganisationSession
from writeback_pipeline.store import api_calls, claims, journal, recovery
from writeback_pipeline.store import settling as store_settling
from writeback_pipeline_tests.contracts import test_store_journal, test_store_leases
from writeback_pipeline_tests.delivery import test_gate, test_opt_outs, test_reading_back
from writeback_pipeline_tests.ledgers import store_of
from writeback_pipeline_tests.salesforce import test_key_records, test_session, test_writing
from writeback_pipeline_tests.salesforce.scripted import Say, scripted_server
from writeback_pipeline_tests.world import world_in


@dataclass(frozen=True)
class Protection:
    """What is broken and how, and the test that must fail, with what it is given."""

    name: str
    target: object
    attribute: str
    broken: Any
    test: Callable[..., None]
    given: Callable[[Path], Any]


@contextmanager
def a_store(folder: Path) -> Iterator[list[Any]]:
    yield [store_of(folder)]


@contextmanager
def a_world(folder: Path) -> Iterator[list[Any]]:
    with world_in(folder) as world:
        yield [world]


@contextmanager
def a_gateway(folder: Path) -> Iterator[list[Any]]:
    with scripted_server() as server:
        organisation = SalesforceOrganisation(server.connection, connect_seconds=20, read_seconds=20)
        yield [server, organisation]
        organisation.close()


def after(given: Callable[[Path], Any], *more: Any) -> Callable[[Path], Any]:
    @contextmanager
    def with_more(folder: Path) -> Iterator[list[Any]]:
        with given(folder) as values:
            yield [*values, *more]

    return with_more


def without_fence(session: Any, people: Iterable[Any]) -> dict[Any, Any]:
    rows = session.execute("SELECT person_id, lease_until FROM people").fetchall()
    until = {person: lease and lease.replace(tzinfo=UTC) for person, lease in rows}
    return {(person, epoch): until.get(person) for person, epoch in people}


def not_executed(status: int, body: Any) -> Any:
    return replace(trouble_of(status, body), maybe_executed=False)


trouble_of = errors.trouble_of
admitted = OrganisationSession._admitted


def losing_headers(self: Any, stale: Any, *arguments: Any, **named: Any) -> Any:
    if stale is not None:
        named["headers"] = dict.fromkeys(self.headers)
    return admitted(self, stale, *arguments, **named)


keys_of = reading_back._keys


def where_it_was_sent(doubt: Any, person: Any, settings: Any) -> set[Any]:
    return {key for key in keys_of(doubt, person, settings) if key[0] in doubt.targets}


def live_records_only(soql: str) -> Request:
    return Request("GET", f"query?q={quote(soql, safe='')}")


def one_graph(self: graphs.Graphs, rows: Any) -> Request:
    """Every Note of the call in one transaction, which is another one with every try."""
    nodes = []
    for position in self.positions:
        for node in graphs._nodes(rows[position]):
            text = node | {"referenceId": f"{node['referenceId']}{position}"}
            body = {name: _renamed(value, position) for name, value in node["body"].items()}
            nodes.append(text | {"body": body})
    return Request("POST", "composite/graph", {"graphs": [{"graphId": "graph0", "compositeRequest": nodes}]})


def _renamed(value: Any, position: int) -> Any:
    return value.replace("@{note.id}", f"@{{note{position}.id}}") if isinstance(value, str) else value


def failure_of(test: Callable[..., None], given: Iterable[Any]) -> BaseException | None:
    """Of a test: an assertion, or the error that the rule prevents."""
    try:
        test(*given)
    except (Exception, pytest.fail.Exception) as failure:
        return failure
    return None


PROTECTIONS = (
    Protection(
        "lease: what a dead worker left is found", recovery, "recover", lambda *_: None,
        test_store_leases.test_what_a_dead_worker_sent_becomes_unknown_and_is_to_be_read_back, a_store,
    ),
    Protection(
        "lease: a person is one worker's alone", claims, "_UNLEASED", "$1::TIMESTAMP IS NOT NULL",
        test_store_leases.test_a_leased_person_is_nobody_elses_until_the_lease_runs_out, a_store,
    ),
    Protection(
        "lease: outcomes under an older epoch are not recorded", store_settling, "leases_of", without_fence,
        test_store_journal.test_a_settlement_under_an_older_epoch_writes_nothing_and_is_counted, a_store,
    ),
    Protection(
        "lease: nothing is journalled beyond it", journal, "covered_by", lambda *_: True,
        test_store_journal.test_nothing_may_be_sent_after_the_lease_has_run_out, a_store,
    ),
    Protection(
        "journal: a flag write is in doubt until it is answered", journal, "_put_flags_in_doubt", lambda *_: None,
        test_store_leases.test_a_doubt_about_the_flag_is_told_with_the_claim_until_it_is_over, a_store,
    ),
    Protection(
        "read-back: absent means nothing before the quiet time", reading_back, "_is_over", lambda *_: True,
        test_reading_back.test_what_is_not_there_yet_is_not_sent_again_while_it_may_still_arrive, a_world,
    ),
    Protection(
        "read-back: deleted Notes count", lookup, "soql_request", live_records_only,
        test_reading_back.test_a_note_that_somebody_deleted_meanwhile_is_not_written_again, a_world,
    ),
    Protection(
        "read-back: a Note is looked for where its person went", reading_back, "_keys", where_it_was_sent,
        test_reading_back.test_a_note_is_found_at_the_record_that_its_person_was_merged_into, a_world,
    ),
    Protection(
        "ordering: a resubscribe waits for what is unknown", planning, "in_doubt_until", lambda *_: None,
        test_reading_back.test_a_resubscribe_waits_until_it_is_known_what_became_of_the_unsubscribe, a_world,
    ),
    Protection(
        "ordering: the fold decides, not the order of arrival", opt_outs, "in_order",
        lambda events: sorted(events, key=lambda event: event.id),
        test_opt_outs.test_a_late_older_event_adds_its_note_and_never_moves_the_flag, a_world,
    ),
    Protection(
        "outcomes: after a 5xx the rows are unknown", errors, "trouble_of", not_executed,
        test_writing.test_after_sending_anything_but_a_plain_answer_leaves_the_rows_unknown,
        after(a_gateway, Say(503, "<html>"), "HTTP_503", None),
    ),
    Protection(
        "session: a repeated request keeps its headers", OrganisationSession, "_admitted", losing_headers,
        test_session.test_an_expired_session_is_renewed_once_and_the_request_repeated_whole, a_gateway,
    ),
    Protection(
        "key records: each Note has a transaction of its own", graphs.Graphs, "request", one_graph,
        test_key_records.test_a_key_that_exists_keeps_the_note_from_being_made_and_its_neighbours_are_written,
        after(a_world, test_key_records.note),
    ),
    Protection(
        "budget: no call beyond our share", api_calls, "refusal", lambda *_: None,
        test_gate.test_when_the_budget_is_spent_rows_wait_and_nothing_fails, a_world,
    ),
)  # fmt: skip


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda protection: protection.name)
def test_a_test_fails_without_the_protection(
    protection: Protection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protection.target, protection.attribute, protection.broken)
    with protection.given(tmp_path) as given:
        failure = failure_of(protection.test, given)
    assert failure is not None
    assert not isinstance(failure, TypeError | NameError | AttributeError), failure


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda protection: protection.name)
def test_the_same_test_passes_with_it(protection: Protection, tmp_path: Path) -> None:
    with protection.given(tmp_path) as given:
        protection.test(*given)
