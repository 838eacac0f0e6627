"""What keeps the definitions and runs of one bridge apart from another's in the same Dagster.

An asset key means the same asset in every code location of a deployment: two locations with one key would share its
history, its partitions and the state of its checks. So where there are several bridges, each has its name before its
keys and in the tags of its runs; a pipeline that is alone has neither. Names of jobs, sensors and schedules are a
location's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import dagster as dg

from writeback_pipeline.bridges_toml import key_prefix

BRIDGE = "writebacks/bridge"
"""The tag of a run that names its bridge."""

_LOCATION = "dagster/code_location"
"""The tag that Dagster itself puts on what it launches, whatever job it is of; there is none on the command line's."""

_Definition = TypeVar("_Definition", dg.AssetsDefinition, dg.AssetChecksDefinition)


@dataclass(frozen=True, slots=True)
class Scope:
    """A bridge as its definitions need it: its name, which is its code location's, too; empty for a pipeline that is
    alone."""

    bridge: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """What each run of its jobs carries."""
        return {BRIDGE: self.bridge} if self.bridge else {}

    def key(self, name: str) -> dg.AssetKey:
        """The key of an asset of ours."""
        return dg.AssetKey([key_prefix(self.bridge), name] if self.bridge else [name])

    def of(self, definition: _Definition) -> _Definition:
        """Assets or checks under the bridge's keys."""
        if not self.bridge:
            return definition
        keys = {*definition.keys, *(dep.asset_key for spec in definition.specs for dep in spec.deps)}
        keys |= {check.asset_key for check in definition.check_keys}
        moved = definition.with_attributes(asset_key_replacements={key: self.key(key.path[-1]) for key in keys})
        kept = moved.coerce_to_checks_def() if isinstance(definition, dg.AssetChecksDefinition) else moved
        assert isinstance(kept, type(definition))
        return kept

    def runs_of(self, job: str, statuses: Sequence[dg.DagsterRunStatus]) -> dg.RunsFilter:
        """The runs of a job of this bridge."""
        return dg.RunsFilter(job_name=job, statuses=statuses, tags=self.tags)

    @property
    def marks(self) -> Sequence[Mapping[str, str]]:
        """Tags of which each of its runs has one: its jobs' own, or those of a run that somebody starts from an asset's
        page, which is of none of them."""
        return [self.tags, {_LOCATION: self.bridge}] if self.bridge else [{}]


ALONE = Scope()
"""The only pipeline of its Dagster."""


def beside(key: dg.AssetKey, name: str) -> dg.AssetKey:
    """The key of another asset of the same bridge."""
    return dg.AssetKey([*key.path[:-1], name])
