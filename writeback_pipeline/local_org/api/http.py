"""What a request, an answer and a resource are, without any HTTP library: resources are functions between the two.

A subrequest of a composite call is a `Request` like any other, which is why nothing here knows about sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from writeback_pipeline.local_org.session import Session

FIRST_VERSION, LAST_VERSION = 31, 67
RETIRED_VERSIONS = range(21, 31)


@dataclass(frozen=True, slots=True)
class Request:
    """`path` begins with /services/data; header names are lower case; `json` is the parsed body or None.

    `content` is the body, where it may be something else than JSON and is.

    `params` and `version` are filled in by the routing; `now` is the instant of the call in seconds since 1970.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes = b""
    base_url: str = ""
    now: float = 0.0
    params: Mapping[str, str] = field(default_factory=dict)
    version: int = LAST_VERSION

    @property
    def root(self) -> str:
        """The path under which this API version's resources lie, `/services/data/v67.0`."""
        return f"/services/data/v{self.version}.0"


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is what the JSON says (None: no body at all), or the bytes themselves."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Session, Request], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A resource: its path below the version, with `{names}` for the parts that vary, and what each method does."""

    pattern: str
    methods: Mapping[str, Handler]
