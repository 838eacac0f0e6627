"""Where this installation keeps its state, read from the environment; no file is touched and nothing is opened here.

Which Salesforce organisation is used is read by `writeback_pipeline.salesforce.connection`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SHARED_HOME = "WRITEBACK_SHARED_HOME"
"""Set for the processes of one bridge of several: the home of all of them together."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The paths of one home. `database` is a file or a `postgresql://` URL with its password; `activity` a folder or a
    URL. Where the home is that of one bridge of several, `shared` is what they have in common."""

    home: Path
    database: str = field(repr=False)
    activity: str
    shared: Path | None = None

    @property
    def has_database(self) -> bool:
        """Whether there is a database to be opened, rather than a file that the first use makes."""
        return "://" in self.database or Path(self.database).exists()

    @property
    def names_activity(self) -> bool:
        """Whether somebody chose where the mailing events are: then the place has to exist."""
        return self.activity != _default_activity(self.home)

    @property
    def local_org(self) -> Path:
        """The SQLite file of the embedded organisation."""
        return self.home / "local_org.sqlite"

    @property
    def dagster_home(self) -> Path:
        """The folder of the Dagster instance, one for all bridges: its configuration, runs and logs."""
        return (self.shared or self.home) / "dagster"


def read_environment(variables: Mapping[str, str]) -> Environment:
    """The environment named by WRITEBACK_HOME, WRITEBACK_DATABASE and WRITEBACK_ACTIVITY; empty means not set."""
    home = Path(variables.get("WRITEBACK_HOME") or "data").absolute()
    return Environment(
        home=home,
        database=variables.get("WRITEBACK_DATABASE") or str(home / "writebacks.duckdb"),
        activity=variables.get("WRITEBACK_ACTIVITY") or _default_activity(home),
        shared=Path(variables[SHARED_HOME]) if variables.get(SHARED_HOME) else None,
    )


def _default_activity(home: Path) -> str:
    return str(home / "mailing_activity")
