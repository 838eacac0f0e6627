"""Query jobs against the embedded organisation, and what is made of jobs that do not end well."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.world import World, world_in


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


def test_everybody_who_is_opted_out_is_read_and_nobody_else(world: World) -> None:
    people = {world.contact(HasOptedOutOfEmail=True), world.lead(HasOptedOutOfEmail=True)}
    world.contact()
    seen = list(world.organisation.opted_out_people())
    assert {each.person.salesforce_id for each in seen} == people
    assert all(each.opted_out and each.changed_by and each.changed_by.startswith("005") for each in seen)


def test_a_result_of_several_pages_is_read_to_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("writeback_pipeline.salesforce.bulk_query.ROWS_A_PAGE", 2)
    people = {world.contact(HasOptedOutOfEmail=True) for _ in range(5)}
    assert {each.person.salesforce_id for each in world.organisation.opted_out_people()} == people


def test_a_hidden_flag_is_one_error_with_a_remedy(world: World) -> None:
    world.hide_opt_out_field()
    with pytest.raises(OrganisationUnavailable, match="permission set"):
        list(world.organisation.opted_out_people())


def test_a_job_that_fails_is_told_with_salesforces_words(world: World) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, "unavailable", path="jobs/query/750", times=1)
    with pytest.raises(OrganisationUnavailable) as failed:
        list(world.organisation.opted_out_people())
    assert failed.value.passing
