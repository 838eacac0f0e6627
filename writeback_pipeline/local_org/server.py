"""Serving the organisation: in a thread of this process, or for good from the command line. Loopback only, always."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from writeback_pipeline.local_org import app, certificates
from writeback_pipeline.local_org.app import Clock, Host
from writeback_pipeline.local_org.bulk_worker import BulkWorker
from writeback_pipeline.local_org.certificates import Certificate
from writeback_pipeline.local_org.state import open_org

_LOOPBACK = "127.0.0.1"
_STARTUP_SECONDS = 10.0
_SHUTDOWN_SECONDS = 1
_FAREWELL_SECONDS = 0.1
_IDLE_SECONDS = 120
"""How long a connection without a request stays open: clients that poll every five seconds would meet it as it closes
by uvicorn's own five."""
_TICK_SECONDS = 0.1


class _Server(uvicorn.Server):
    """uvicorn's server, but it ends as soon as it may: uvicorn's own looks around only ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop = asyncio.new_event_loop()
        self._asked = asyncio.Event()

    def serve_until_asked(self, listener: socket.socket) -> None:
        """Serve in this thread until another one calls `end`."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.serve(sockets=[listener]))

    def end(self) -> None:
        """Have it end; harmless when it already has."""
        self.should_exit = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._asked.set)

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), _TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - as uvicorn calls it
        """Finish the requests that are under way, and see the clients off."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_SHUTDOWN_SECONDS)
        patience = time.monotonic() + _FAREWELL_SECONDS
        while self.server_state.connections and time.monotonic() < patience:
            await asyncio.sleep(0.002)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()  # an idle https client does not answer the farewell
        await asyncio.sleep(0)


class RunningOrg:
    """A server in a thread; `url` has no slash at its end. Close it, or use it as a context manager."""

    def __init__(
        self,
        server: _Server,
        listener: socket.socket,
        url: str,
        stopping: threading.Event,
        release: Callable[[], None],
    ) -> None:
        self.url = url
        self._server = server
        self._listener = listener
        self._stopping = stopping
        self._release = release
        self._thread = threading.Thread(
            target=server.serve_until_asked, args=[listener], name=f"local-org {url}", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"the embedded organisation did not start at {url}")
            time.sleep(0.002)

    def close(self) -> None:
        """Finish the requests that are under way and stop; harmless when already stopped."""
        self._stopping.set()
        self._server.end()
        self._thread.join()
        self._listener.close()
        self._release()

    def __enter__(self) -> RunningOrg:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_in_thread(
    database: Path,
    *,
    port: int = 0,
    certificate: Certificate | None = None,
    clock: Clock = time.time,
    log_requests: bool = False,
    with_sample: bool = False,
) -> RunningOrg:
    """Serve the organisation kept in that file on a port of its own choice, https when given a certificate.

    Several servers, in this process and in others, may serve one file. A new file becomes an empty organisation, or one
    with the sample people. OSError when the port is taken.
    """
    organisation = open_org(database, with_sample=with_sample)
    try:
        listener = _listen(port)
    except OSError:
        organisation.close()
        raise
    stopping = threading.Event()

    def hang_up(client: tuple[str, int]) -> None:
        for connection in list(serving.server_state.connections):
            if getattr(connection, "client", None) == client and connection.transport is not None:
                connection.transport.abort()

    def release() -> None:
        worker.join()
        organisation.close()

    worker = BulkWorker(organisation, clock, stopping)
    host = Host(clock, worker.wake, lambda seconds: not stopping.wait(seconds), hang_up)
    config = uvicorn.Config(
        app.create(organisation, host),
        loop="asyncio",
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        access_log=log_requests,
        log_config=LOGGING_CONFIG if log_requests else None,
        log_level=None if log_requests else "critical",
        ssl_certfile=certificate.path if certificate else None,
        ssl_keyfile=certificate.key_path if certificate else None,
    )
    scheme = "https" if certificate else "http"
    url = f"{scheme}://{_LOOPBACK}:{listener.getsockname()[1]}"
    serving = _Server(config)
    return RunningOrg(serving, listener, url, stopping, release)


def _listen(port: int) -> socket.socket:
    # The protocol is spelled out because asyncio switches Nagle's delay off only where it sees that it is TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_LOOPBACK, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def serve_forever(database: Path, port: int, tls_port: int | None, announce: Callable[[str], None]) -> None:
    """Serve over http, and over https if given a port for it, until interrupted; tells each address to `announce`."""
    stopping = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)  # before the threads start, so that they leave it to this one
    try:
        with ExitStack() as running:
            announce(running.enter_context(run_in_thread(database, port=port, with_sample=True)).url)
            if tls_port is not None:
                certificate = certificates.for_loopback(database.parent / "tls")
                secure = running.enter_context(run_in_thread(database, port=tls_port, certificate=certificate))
                announce(f"{secure.url} (certificate to trust: {certificate.path})")
            signal.sigwait(stopping)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)
