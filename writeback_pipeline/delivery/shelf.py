"""Room for very many things that nobody needs for a while: put away in portions, compressed to a fraction."""

import pickle
import zlib
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")

_FASTEST = 1


class Shelf(Generic[_Thing]):
    """Portions of things, which come back equal and in their order; only the one at hand takes its full room."""

    def __init__(self) -> None:
        self._portions: list[bytes] = []

    def put(self, portion: Sequence[_Thing]) -> None:
        """Put a portion away, behind the others."""
        self._portions.append(zlib.compress(pickle.dumps(portion, pickle.HIGHEST_PROTOCOL), _FASTEST))

    def __iter__(self) -> Iterator[Sequence[_Thing]]:
        for portion in self._portions:
            yield pickle.loads(zlib.decompress(portion))  # noqa: S301 - nobody else's
