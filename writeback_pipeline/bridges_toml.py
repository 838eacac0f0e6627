"""bridges.toml: what may be in it, and what is wrong with one that says something else.

    [[bridge]]
    name = "north"
    prefix = "NORTH_"       # what its variables begin with; without it, the name in capitals
    server = "north:4000"   # where its code location answers, if Dagster does not start it itself

Text only: which variables a bridge has is `bridges`' work.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from writeback_pipeline.domain.trouble import Trouble

RESERVED = frozenset({"metrics", "sign-in", "sign-out", "static"})
"""Names that the console's addresses have taken."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 30
_PREFIX = re.compile(r"[A-Z][A-Z0-9_]*_")
_OURS = ("_SALESFORCE_", "_WRITEBACK_", "_DAGSTER_", "_CELERY_")
_SERVER = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
_HEADER = re.compile(r"\s*\[\[\s*bridge\s*\]\]")
_KEYS = ("name", "prefix", "server")


class BridgesMisconfigured(Trouble):
    """The file, or what the environment says of its bridges, is wrong; the message says where and the remedy."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """One organisation's pipeline: its name, what its variables begin with, and where its code location answers, as
    (host, port), if Dagster does not start it itself."""

    name: str
    prefix: str
    server: tuple[str, int] | None = None


def key_prefix(name: str) -> str:
    """What the asset keys of the bridge of that name begin with."""
    return name.replace("-", "_")


def parse(text: str, shown: str) -> tuple[Bridge, ...]:
    """The bridges of a file's text, in its order; `shown` is what messages call the file. Raises
    BridgesMisconfigured."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BridgesMisconfigured(f"{shown} is no TOML: {error}. Texts are in quotation marks") from None
    entries = document.pop("bridge", None)
    if document or not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        unknown = f"it has {', '.join(sorted(document))}" if document else "it has no list of them"
        raise BridgesMisconfigured(f"{shown} is no list of bridges: {unknown}. Each begins with the line [[bridge]]")
    headers = [number for number, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
    seen: dict[str, int] = {}
    bridges = []
    for entry, line in zip(entries, headers or [1] * len(entries), strict=False):
        where = f"{shown}, line {line}"
        bridge = _bridge(entry, where)
        for value in (bridge.name, bridge.prefix):
            if value in seen:
                told = f"{value} is taken by the bridge of line {seen[value]}: choose another"
                raise BridgesMisconfigured(f"{where}: {told}")
            seen[value] = line
        bridges.append(bridge)
    return tuple(bridges)


def _bridge(entry: Mapping[str, object], where: str) -> Bridge:
    if unknown := sorted(entry.keys() - set(_KEYS)):
        raise BridgesMisconfigured(f"{where}: a bridge has no {', '.join(unknown)}: it has {', '.join(_KEYS)}")
    if wrong := [key for key, value in entry.items() if not isinstance(value, str)]:
        raise BridgesMisconfigured(f"{where}: write {wrong[0]} as text in quotation marks")
    texts = {key: str(value) for key, value in entry.items()}
    name = texts.get("name", "")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME or name in RESERVED:
        told = f"{name} is no name that a bridge can have" if name else "the bridge has no name"
        raise BridgesMisconfigured(
            f'{where}: {told}: write name = "north", up to {_LONGEST_NAME} small letters, digits and single hyphens, '
            f"a letter first, and not {', '.join(sorted(RESERVED))}"
        )
    prefix = texts.get("prefix", name.upper().replace("-", "_") + "_")
    if not _PREFIX.fullmatch(prefix) or any(word in f"_{prefix}" for word in _OURS):
        raise BridgesMisconfigured(
            f'{where}: {prefix} is no prefix of variables: write prefix = "NORTH_", capitals, digits and underscores, '
            f"an underscore last, without {', '.join(word.strip('_') for word in _OURS)}"
        )
    return Bridge(name, prefix, _server(texts["server"], where) if "server" in texts else None)


def _server(text: str, where: str) -> tuple[str, int]:
    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 65536:
        raise BridgesMisconfigured(f'{where}: {text} is no address of a code location: write server = "north:4000"')
    return found[1].strip("[]"), int(found[2])
