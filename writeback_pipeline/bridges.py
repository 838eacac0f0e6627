"""Many organisations: which bridges there are, and which variables of the environment are whose.

A bridge is one organisation's pipeline, with credentials, settings, budget and ledger of its own. Its variables begin
with its prefix: NORTH_SALESFORCE_URL is the SALESFORCE_URL of the bridge with the prefix NORTH_. Without bridges.toml
there is one pipeline, whose variables have no prefix, and nothing here plays a part. No database is opened here.
"""

import os
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from writeback_pipeline.bridges_toml import Bridge, BridgesMisconfigured, parse
from writeback_pipeline.environment import SHARED_HOME, Environment, read_environment

FILE = "WRITEBACK_BRIDGES"
"""The variable that says where the file is, if not in the home."""

CHOSEN = "WRITEBACK_BRIDGE"
"""The variable that names the bridge which a process is for."""

_ITS_OWN = ("SALESFORCE_", "WRITEBACK_HOME", "WRITEBACK_DATABASE", "WRITEBACK_ACTIVITY")
"""Variables that no bridge inherits: a forgotten one would lead it into another's organisation or ledger."""


def bridges_file(variables: Mapping[str, str]) -> Path:
    """Where the file is, or would be."""
    return Path(variables.get(FILE) or _shared_home(variables) / "bridges.toml").absolute()


def read_bridges(variables: Mapping[str, str]) -> tuple[Bridge, ...]:
    """The bridges in the file's order; none where there is no file. Raises BridgesMisconfigured."""
    path = bridges_file(variables)
    if not path.exists() and not variables.get(FILE):
        return ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BridgesMisconfigured(f"{path} cannot be read ({why}): correct {FILE} or the file") from None
    return parse(text, str(path))


def variables_of(name: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment as that bridge has to see it: its own variables without their prefix, and no other bridge's.

    Applied to its own result it changes nothing, so that a child of a bridge's process may do it again. Raises
    BridgesMisconfigured, also when another bridge has the same home or database.
    """
    bridges = read_bridges(variables)
    bridge = next((each for each in bridges if each.name == name), None)
    if bridge is None:
        remedy = f"it has {', '.join(each.name for each in bridges)}" if bridges else f"make it, or unset {CHOSEN}"
        raise BridgesMisconfigured(f"there is no bridge {name} in {bridges_file(variables)}: {remedy}")
    for told in conflicts(bridges, variables, of=bridge):
        raise BridgesMisconfigured(told)
    return _variables_of(bridge, bridges, variables)


def enter(name: str, variables: MutableMapping[str, str] = os.environ) -> None:
    """Make this a process of that bridge alone: it keeps nothing of the environment that is another's."""
    seen = variables_of(name, variables)
    for foreign in variables.keys() - seen.keys():
        del variables[foreign]
    variables.update(seen)


def conflicts(bridges: Sequence[Bridge], variables: Mapping[str, str], of: Bridge | None = None) -> Iterator[str]:
    """What two bridges have in common and must not, in words with the remedy; only those `of` a bridge, if given."""
    places = {bridge.name: _places(read_environment(_variables_of(bridge, bridges, variables))) for bridge in bridges}
    for one, other in combinations(bridges, 2):
        for variable, place in places[one.name].items():
            if of in (None, one, other) and place == places[other.name][variable]:
                yield (
                    f"the bridges {one.name} and {other.name} have the same {variable}, and would deliver each other's "
                    f"changes: set {one.prefix}{variable} or {other.prefix}{variable} to a place of its own"
                )


def _places(environment: Environment) -> dict[str, object]:
    return {"WRITEBACK_HOME": os.path.realpath(environment.home), "WRITEBACK_DATABASE": _place(environment.database)}


def _place(database: str) -> object:
    """What all names of one database have in common."""
    if "://" not in database:
        return os.path.realpath(database)
    try:
        parts = urlsplit(database)
        schema = parse_qs(parts.query).get("schema", ["public"])[0]
        return (parts.hostname or "").lower(), parts.port or 5432, parts.path, schema
    except ValueError:
        return database


def _variables_of(bridge: Bridge, bridges: Sequence[Bridge], variables: Mapping[str, str]) -> dict[str, str]:
    own = {name.removeprefix(bridge.prefix): value for name, value in variables.items() if _is_of(bridge, name)}
    rest = {
        name: value
        for name, value in variables.items()
        if not name.startswith(_ITS_OWN) and not any(_is_of(each, name) for each in bridges if each is not bridge)
    }
    shared = _shared_home(variables)
    chosen = {CHOSEN: bridge.name, FILE: str(bridges_file(variables)), SHARED_HOME: str(shared)}
    home = own.get("WRITEBACK_HOME") or str(shared / "bridges" / bridge.name)
    return rest | own | chosen | {"WRITEBACK_HOME": home}


def _is_of(bridge: Bridge, variable: str) -> bool:
    return variable.startswith((f"{bridge.prefix}SALESFORCE_", f"{bridge.prefix}WRITEBACK_"))


def _shared_home(variables: Mapping[str, str]) -> Path:
    """The home of all bridges together."""
    return Path(variables.get(SHARED_HOME) or read_environment(variables).home)
