"""Serving the console until it is interrupted."""

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette

_PATIENCE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket on that address; port 0 takes any that is free. OSError when it cannot be had."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)[0]
    listener = socket.socket(*family[:3])
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(family[4])
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """What to open in a browser."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def make_server(app: Starlette) -> uvicorn.Server:
    """The server of the application; requests are not logged, their addresses may hold people's e-mail."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            ws="none",
            lifespan="off",
            server_header=False,
            access_log=False,
            log_config=None,  # its lines go where the others go, past the same redactor
            log_level="warning",
            timeout_graceful_shutdown=_PATIENCE_SECONDS,
        )
    )


def serve(app: Starlette, listener: socket.socket, started: Callable[[], None]) -> None:
    """Answer until Ctrl-C or SIGTERM."""
    started()
    with suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[listener])
