"""A proxy between the gateway and the organisation, in this process, that breaks calls as its weather has it.

It carries faults out and counts them; which there are is in `faults`. Every call comes over a connection of its own, so
that a refused one is really refused.
"""

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from writeback_pipeline.local_org import faults as switches
from writeback_pipeline.local_org.state import Organisation
from writeback_pipeline_tests.patience import reserved_port
from writeback_pipeline_tests.torture.faults import FAULTS, Comes, Fault, Reaches
from writeback_pipeline_tests.torture.wire import WRITES, CallType, Reply, Request, forward, read_request, send_half

LATEST = timedelta(minutes=10, seconds=29)
"""How long after it was sent a call may still be carried out; said here once more, so that no shorter wait passes."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PIECES = 12
_PAUSE_BETWEEN_PIECES = 0.002


@dataclass
class Weather:
    """Draws what happens to each call: a share of the writes is struck and half that share of the rest.

    Kinds are dealt from a shuffled pack per type of call, so that a pair of both is never long in coming.
    """

    chance: random.Random
    share: float
    struck: Counter[tuple[str, CallType]] = field(default_factory=Counter)
    calls: Counter[CallType] = field(default_factory=Counter)
    _packs: dict[CallType, list[str]] = field(default_factory=dict)

    def draw(self, type_: CallType) -> str | None:
        """The fault that strikes a call of that type; None for none."""
        self.calls[type_] += 1
        if self.chance.random() >= (self.share if type_ in WRITES else self.share / 2):
            return None
        pack = self._packs.setdefault(type_, [])
        if not pack:
            pack += [name for name, fault in FAULTS.items() if type_ in fault.strikes for _ in range(fault.share)]
            self.chance.shuffle(pack)
        name = pack.pop()
        self.struck[name, type_] += 1
        return name

    def delay(self) -> timedelta:
        """How late a late call arrives: any time while it still may, half of them at the last moment."""
        return LATEST * (1.0 if self.chance.random() < 0.5 else self.chance.random())


class FaultProxy:
    """The proxy; `url` is where the gateway finds it. `weather` may be replaced at any time, None for a fine day.

    `clock` dates calls that arrive late. `heard` is told of every call as it comes in. Where a client is told by
    `counted_as_silence` that its time has run out, nobody waits for that.
    """

    def __init__(
        self, organisation_url: str, inside: Organisation, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.weather: Weather | None = None
        self.heard: Callable[[CallType], None] = lambda _: None
        self.foreign = _listen(0)
        self.silence_is_told = False
        self._was_silent = False
        self._netloc = organisation_url.removeprefix("http://")
        self._inside = inside
        self._clock = clock
        self._late: list[tuple[datetime, Request]] = []
        self._busy = threading.Lock()
        self._open = True
        self._reserved = ExitStack()
        self._port = self._reserved.enter_context(reserved_port())  # nobody else's while connections are refused
        self._listener: socket.socket | None = _listen(self._port)
        self._serve()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def recover(self) -> None:
        """Accept connections again, if they were refused."""
        if self._listener is None:
            self._listener = _listen(self._port)
            self._serve()

    def commit_late(self, until: datetime) -> None:
        """Give the organisation what it never got in time, as far as that arrives by then."""
        with self._busy:
            due = sorted((late for late in self._late if late[0] <= until), key=lambda late: late[0])
            self._late = [late for late in self._late if late[0] > until]
            for _, request in due:
                forward(request, self._netloc)

    def strangers(self) -> int:
        """How many connections came to the host that no call may be sent to."""
        self.foreign.setblocking(False)
        count = 0
        with suppress(BlockingIOError):
            while True:
                self.foreign.accept()[0].close()
                count += 1
        return count

    @contextmanager
    def counted_as_silence(self) -> Iterator[None]:
        """Let clients of the `requests` library time out at once where no answer would ever come."""
        send = HTTPAdapter.send

        def send_or_time_out(adapter: HTTPAdapter, request: requests.PreparedRequest, **how: Any) -> requests.Response:
            try:
                return send(adapter, request, **how)
            except requests.ConnectionError as error:
                if not self._was_silent:
                    raise
                self._was_silent = False
                raise requests.ReadTimeout(request=request) from error

        self.silence_is_told = True
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HTTPAdapter, "send", send_or_time_out)
            yield

    def close(self) -> None:
        self._open = False
        self._refuse()
        self._reserved.close()
        self.foreign.close()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), name="fault proxy", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed
                return
            with self._busy, client, suppress(OSError):  # the client may have given up
                self._answer(client)

    def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a client
            self._listener.close()
            self._listener = None

    def _answer(self, client: socket.socket) -> None:
        request = read_request(client)
        if request is None:
            return
        self.heard(request.type)
        name = self.weather.draw(request.type) if self.weather else None
        if name is None:
            client.sendall(forward(request, self._netloc).raw)
            return
        fault = FAULTS[name]
        reply = self._reach(request, fault)
        if fault.refuses_next:
            self._refuse()
        if fault.comes is Comes.NEVER and self.silence_is_told:
            self._was_silent = True
            return
        _COMES[fault.comes](client, fault.answer(reply, self._foreign_url).raw if fault.comes in _WITH_ANSWER else b"")

    @property
    def _foreign_url(self) -> str:
        return f"http://127.0.0.1:{self.foreign.getsockname()[1]}"

    def _reach(self, request: Request, fault: Fault) -> Reply | None:
        match fault.reaches:
            case Reaches.NOT_AT_ALL:
                return None
            case Reaches.HALF:
                send_half(request, self._netloc)
                return None
            case Reaches.LATE:
                assert self.weather is not None
                self._late.append((self._clock() + self.weather.delay(), request))
                return None
            case Reaches.IN_TIME:
                with self._switched(fault):
                    return forward(request, self._netloc)

    @contextmanager
    def _switched(self, fault: Fault) -> Iterator[None]:
        if fault.switch is None:
            yield
            return
        kind, options = fault.switch
        with self._inside.connection() as connection:
            switches.arm(connection, kind, **options)
            try:
                yield
            finally:
                switches.clear(connection)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _whole(client: socket.socket, answer: bytes) -> None:
    client.sendall(answer)


def _dripping(client: socket.socket, answer: bytes) -> None:
    size = len(answer) // _PIECES + 1
    for start in range(0, len(answer), size):
        client.sendall(answer[start : start + size])
        time.sleep(_PAUSE_BETWEEN_PIECES)


def _in_half(client: socket.socket, answer: bytes) -> None:
    client.sendall(answer[: len(answer) - (len(answer) // 4)])
    _reset(client, b"")


def _reset(client: socket.socket, _: bytes) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _closed(_client: socket.socket, _: bytes) -> None:
    """The end of the block closes it."""


def _never(client: socket.socket, _: bytes) -> None:
    client.recv(1)  # until the client hangs up


_COMES = {
    Comes.WHOLE: _whole,
    Comes.DRIPPING: _dripping,
    Comes.IN_HALF: _in_half,
    Comes.RESET: _reset,
    Comes.CLOSED: _closed,
    Comes.NEVER: _never,
}
_WITH_ANSWER = {Comes.WHOLE, Comes.DRIPPING, Comes.IN_HALF}
