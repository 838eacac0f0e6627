"""Which organisation `writebacks org` is about: this home's embedded one, whatever the variables name."""

import os
from pathlib import Path

from writeback_pipeline.commands.output import InputError, message
from writeback_pipeline.environment import read_environment


def embedded_organisation(*, make: bool = False) -> Path:
    """Its file, which has to be there unless the command makes it; says so where the variables name another one."""
    database = read_environment(os.environ).local_org
    if any(name.startswith("SALESFORCE_") and value.strip() for name, value in os.environ.items()):
        message(f"This is the embedded organisation, {database}, not the one that the SALESFORCE_ variables name.")
    if not make and not database.exists():
        raise InputError(f"there is no embedded organisation yet: {database} is made by writebacks org reset")
    return database
