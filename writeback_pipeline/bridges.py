"""Many organisations: which bridges there are, and which variables of the environment are whose.

A bridge is one organisation's pipeline, with credentials, settings, budget and ledger of its own. Its variables begin
with its prefix: NORTH_SALESFORCE_URL is the SALESFORCE_URL of the bridge with the prefix NORTH_. Without bridges.toml
there is one pipeline, whose variables have no prefix, and nothing here plays a part. No database is opened here.
"""

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from writeback_pipeline.bridges_toml import Bridge, BridgesMisconfigured, parse
from writeback_pipeline.environment import SHARED_HOME, read_environment

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
    for one, other, variable in _in_common(bridges, variables, _state):
        if of in (None, one, other):
            yield (
                f"the bridges {one.name} and {other.name} have the same {variable}, and would deliver each other's "
                f"changes: {_remedy(one, other, variable)}"
            )


def doubtful(bridges: Sequence[Bridge], variables: Mapping[str, str]) -> Iterator[str]:
    """What two bridges have in common and probably should not, in words with the remedy."""
    why = {
        "WRITEBACK_ACTIVITY": "each would summarise the other's mailings, too",
        "SALESFORCE_URL": "as the same user both write there, and neither knows of what the other did",
    }
    for one, other, variable in _in_common(bridges, variables, _surroundings):
        told = f"the bridges {one.name} and {other.name} have the same {variable}: {why[variable]}"
        yield f"{told}. If that is not meant, {_remedy(one, other, variable)}"


def _in_common(
    bridges: Sequence[Bridge],
    variables: Mapping[str, str],
    places: Callable[[Mapping[str, str]], Mapping[str, object]],
) -> Iterator[tuple[Bridge, Bridge, str]]:
    """Each two bridges, and the variable that leads both to the same place."""
    found = {bridge.name: places(_variables_of(bridge, bridges, variables)) for bridge in bridges}
    for one, other in combinations(bridges, 2):
        for variable, place in found[one.name].items():
            if place is not None and place == found[other.name][variable]:
                yield one, other, variable


def _remedy(one: Bridge, other: Bridge, variable: str) -> str:
    return f"set {one.prefix}{variable} or {other.prefix}{variable} to a place of its own"


def _state(own: Mapping[str, str]) -> dict[str, object]:
    environment = read_environment(own)
    return {"WRITEBACK_HOME": os.path.realpath(environment.home), "WRITEBACK_DATABASE": _place(environment.database)}


def _surroundings(own: Mapping[str, str]) -> dict[str, object]:
    """Where the mailing events are, and which organisation is written into as whom; None where it is the embedded one,
    which is in the home."""
    activity, url = read_environment(own).activity, own.get("SALESFORCE_URL")
    who = tuple(own.get(f"SALESFORCE_{name}") for name in ("CLIENT_ID", "USERNAME"))
    return {
        "WRITEBACK_ACTIVITY": activity if "://" in activity else os.path.realpath(activity),
        "SALESFORCE_URL": (_server(url), *who) if url else None,
    }


def _place(database: str) -> object:
    """What all names of one database have in common."""
    if "://" not in database:
        return os.path.realpath(database)
    try:
        parts = urlsplit(database)
        said = {name: values[0] for name, values in parse_qs(parts.query).items()}
        host, port = said.get("host") or parts.hostname, said.get("port") or parts.port or 5432
        return _machine(host), int(port), parts.path, said.get("schema", "public")
    except ValueError:
        return database


def _server(url: str) -> object:
    """What all addresses of one organisation have in common."""
    try:
        parts = urlsplit(url.strip())
        return _machine(parts.hostname), parts.port or {"http": 80}.get(parts.scheme, 443)
    except ValueError:
        return url


def _machine(name: str | None) -> str:
    """A host's name in small letters, and one for all of this machine's own."""
    host = (name or "").lower()
    with suppress(ValueError):
        if ip_address(host).is_loopback:
            return "localhost"
    return host


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
