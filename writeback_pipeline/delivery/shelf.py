"""Room for very many things that nobody needs for a while: put away in portions, compressed to a fraction."""

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from io import BytesIO
from operator import attrgetter, methodcaller
from typing import Any, Generic, TypeVar

_Thing = TypeVar("_Thing")

_FASTEST = 1


class Shelf(Generic[_Thing]):
    """Things, which come back equal and in their order, as often as they are asked for; only the portion at hand takes
    its full room."""

    def __init__(self) -> None:
        self._portions: list[bytes] = []

    def put(self, portion: Iterable[_Thing]) -> None:
        """Put a portion away, behind the others."""
        pickled = BytesIO()
        pickler = pickle.Pickler(pickled, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = _REDUCERS
        pickler.dump(list(portion))
        self._portions.append(zlib.compress(pickled.getbuffer(), _FASTEST))

    def portions(self) -> Iterator[list[_Thing]]:
        """Portion after portion, as they were put away."""
        for portion in self._portions:
            yield pickle.loads(zlib.decompress(portion))  # noqa: S301 - nobody else's

    def __iter__(self) -> Iterator[_Thing]:
        for portion in self.portions():
            yield from portion


_Reducer = Callable[[Any], str | tuple[Any, ...]]


class _Reducers(dict[type, _Reducer]):
    """How values are taken apart, by their types: most by their fields, which takes a fraction of what it takes them.

    The others are entered as well: to look in vain takes longer than to take a value apart.
    """

    def __missing__(self, kind: type) -> _Reducer:
        if issubclass(kind, type):
            raise KeyError(kind)  # a class goes by its name
        reducer = self[kind] = _reducer(kind)
        return reducer


def _reducer(kind: type) -> _Reducer:
    if issubclass(kind, tuple):
        return lambda thing: (kind, tuple(thing))
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    if len(names) <= 1:  # attrgetter makes no tuple of one
        return methodcaller("__reduce_ex__", pickle.HIGHEST_PROTOCOL)
    values = attrgetter(*names)
    return lambda thing: (kind, values(thing))


_REDUCERS = _Reducers()
