"""The sync and the nightly audit as Dagster runs them."""

from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.defs.conftest import Pipeline, checks, metadata


def test_a_sync_tells_what_is_new_and_who_stands_opted_out(pipeline: Pipeline) -> None:
    world = pipeline.world
    person = world.contact(HasOptedOutOfEmail=True)
    job = pipeline.definitions.resolve_job_def("sync_salesforce")
    first = metadata(job.execute_in_process(instance=pipeline.instance), "salesforce_opt_outs")
    assert [first[name] for name in ("people_read", "opted_out", "standing_import")] == [1, 1, 1]
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    second = metadata(job.execute_in_process(instance=pipeline.instance), "salesforce_opt_outs")
    assert (second["cleared"], "standing_import" in second) == (1, False)


def test_the_audit_is_red_while_somebody_is_opted_out_on_one_side_only(pipeline: Pipeline) -> None:
    world = pipeline.world
    job = pipeline.definitions.resolve_job_def("audit_opt_outs")
    assert checks(job.execute_in_process(instance=pipeline.instance)) == {"flag_matches_ledger": True}
    world.contact(HasOptedOutOfEmail=True)
    assert checks(job.execute_in_process(instance=pipeline.instance)) == {"flag_matches_ledger": False}
    sync = pipeline.definitions.resolve_job_def("sync_salesforce")
    assert checks(sync.execute_in_process(instance=pipeline.instance)) == {}
    assert checks(job.execute_in_process(instance=pipeline.instance)) == {"flag_matches_ledger": True}
