"""A value that somebody typed into the table of settings stops only what it concerns."""

import pytest

from writeback_pipeline.domain.settings import InvalidSetting
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.world import World


def type_in(world: World, name: str, value: str) -> None:
    with open_database(world.database).writing() as session:
        session.execute("UPDATE settings SET value = $1 WHERE name = $2", [value, name])


@pytest.mark.parametrize(
    ("name", "value"),
    [("occurrence", "monthly"), ("sent", "maybe"), ("frequency", "often"), ("week_starts_on", "someday")],
)
def test_a_setting_of_activity_that_is_wrong_turns_activity_off_and_stops_no_opt_out(
    world: World, name: str, value: str
) -> None:
    world.unsubscribe(world.contact())
    type_in(world, name, value)
    with world.guarded():
        assert world.deliver().statuses[Status.WRITTEN] == 1
    assert not world.ledger.settings().activity_enabled
    with pytest.raises(InvalidSetting, match=f"^{name} takes"):
        world.ledger.activity_settings()


def test_a_setting_that_concerns_opt_outs_stops_them_and_is_named(world: World) -> None:
    world.unsubscribe(world.contact())
    type_in(world, "note_object", "Letter")
    with pytest.raises(InvalidSetting, match=r"^note_object takes"):
        world.deliver()
