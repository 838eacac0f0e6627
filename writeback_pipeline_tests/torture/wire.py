"""HTTP as the fault proxy sees it: requests read from a socket, passed on, answered; which kind of call each one is.

Just enough of the protocol for one client that sends bodies of known length; what goes wrong is decided elsewhere.
"""

import http.client
import re
import socket
from dataclasses import dataclass
from enum import StrEnum


class CallType(StrEnum):
    """What a call is for."""

    LOGIN = "login"
    LOOK = "look"
    QUERY = "query"
    FLAGS = "flags"
    NOTES = "notes"
    FLAGS_AND_NOTES = "flags and notes"
    TASKS = "tasks"


WRITES = frozenset({CallType.FLAGS, CallType.NOTES, CallType.FLAGS_AND_NOTES, CallType.TASKS})


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> CallType:
        """Told by what the call carries, alone or in a composite."""
        if "/oauth2/token" in self.path:
            return CallType.LOGIN
        if b'"type": "Task"' in self.body:
            return CallType.TASKS
        notes, flags = b'"type": "Note"' in self.body, re.search(rb'"HasOptedOutOfEmail": (true|false)', self.body)
        if flags:
            return CallType.FLAGS_AND_NOTES if notes else CallType.FLAGS
        if notes:
            return CallType.NOTES
        return CallType.QUERY if "queryAll" in self.path or b"queryAll" in self.body else CallType.LOOK

    @property
    def head(self) -> bytes:
        """Request line and headers for another server, which is to close the connection afterwards."""
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() != "connection"]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def raw(self) -> bytes:
        """The answer as bytes; the connection ends after it."""
        dropped = {"content-length", "transfer-encoding", "connection"}
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in dropped]
        lines += [f"Content-Length: {len(self.body)}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


def read_request(client: socket.socket) -> Request | None:
    """The next request; None when the client has hung up."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65_536)
        if not piece:
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    length = next((int(value) for name, value in headers.items() if name.lower() == "content-length"), 0)
    while len(body) < length:
        piece = client.recv(65_536)
        if not piece:
            return None
        body += piece
    return Request(method, path, headers, body)


def forward(request: Request, netloc: str) -> Reply:
    """What the server at that address answers."""
    connection = http.client.HTTPConnection(netloc, timeout=60)
    try:
        connection.request(request.method, request.path, body=request.body or None, headers=request.headers)
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def send_half(request: Request, netloc: str) -> None:
    """Send the server half of the body, and hang up."""
    host, _, port = netloc.partition(":")
    with socket.create_connection((host, int(port))) as server:
        server.sendall(request.head + request.body[: len(request.body) // 2])
