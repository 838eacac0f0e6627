"""Audits against an organisation that answers over HTTP, and what a repair does about differences."""

from datetime import timedelta

from writeback_pipeline.delivery.auditing import audit, repair
from writeback_pipeline.delivery.synchronising import synchronise
from writeback_pipeline.domain.auditing import Comparison
from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.world import START, World


def found(world: World) -> Comparison:
    world.clock.advance(timedelta(seconds=1))
    return audit(world.ledger, world.organisation, world.clock())


def counts(comparison: Comparison) -> tuple[int, int, int, int]:
    return comparison.agree, comparison.under_way, len(comparison.only_here), len(comparison.only_there)


def with_differences(world: World) -> tuple[str, str, str]:
    """Somebody on whom both sides agree, somebody opted out only here, somebody only there."""
    agreed, here, there = world.contact(), world.contact(), world.lead()
    world.unsubscribe_all([agreed, here])
    world.deliver()
    synchronise(world.ledger, world.organisation, world.clock())
    world.as_user(admin.edit, here, {"HasOptedOutOfEmail": False})
    world.as_user(admin.edit, there, {"HasOptedOutOfEmail": True})
    return agreed, here, there


def test_an_audit_finds_who_is_opted_out_on_one_side_only(world: World) -> None:
    _, here, there = with_differences(world)
    comparison = found(world)
    assert counts(comparison) == (1, 0, 1, 1)
    assert comparison.only_here[0].salesforce_id == here
    assert comparison.only_there[0].person.salesforce_id == there


def test_a_repair_opts_out_on_the_side_that_lacks_it(world: World) -> None:
    _, here, there = with_differences(world)
    assert repair(world.ledger, found(world), world.clock()) == 1
    world.deliver()
    assert world.opted_out(here)
    assert world.opted_out(there)
    assert counts(found(world)) == (3, 0, 0, 0)


def test_a_repair_never_opts_anybody_in_nor_out_whom_salesforce_took_back(world: World) -> None:
    person = world.contact(HasOptedOutOfEmail=True)
    synchronise(world.ledger, world.organisation, world.clock())
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    comparison = found(world)
    assert counts(comparison) == (0, 0, 1, 0)
    assert repair(world.ledger, comparison, world.clock()) == 0
    world.deliver()
    assert not world.opted_out(person)


def test_of_people_to_whom_something_is_owed_nothing_is_concluded(world: World) -> None:
    _, here, _ = with_differences(world)
    world.resubscribe(here)
    assert counts(found(world)) == (1, 1, 0, 1)


def test_an_opt_out_whose_flag_is_left_alone_is_no_difference(world: World) -> None:
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", START)
    world.unsubscribe(world.contact())
    world.deliver()
    assert counts(found(world)) == (1, 0, 0, 0)


def test_a_sample_is_looked_at_instead_of_everybody(world: World) -> None:
    world.unsubscribe_all([world.contact() for _ in range(9)])
    world.deliver()
    world.ledger.change_settings({"audit_sample": "4"}, "tester", START)
    before = world.organisation.usage.calls
    assert counts(found(world)) == (4, 0, 0, 0)
    assert world.organisation.usage.calls == before + 1


def test_somebody_deleted_in_salesforce_is_no_difference(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.as_user(admin.delete, person)
    comparison = found(world)
    assert (comparison.gone, comparison.differences) == (1, 0)
