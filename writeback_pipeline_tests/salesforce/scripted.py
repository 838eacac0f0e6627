"""A small HTTP server that answers from a script, for what a healthy organisation never does.

It keeps every request it got. Logins are answered by themselves, with tokens `token-1`, `token-2` and so on, unless
the script says otherwise.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

ORGANISATION_ID = "00D000000000001EAA"
SECRET = "hush-4711"
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


@dataclass(frozen=True)
class Say:
    """An answer: JSON, or text as it is. `cut` ends it early; `silent` sends nothing; `drop` closes the connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False
    drop: bool = False


@dataclass(frozen=True)
class Heard:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Heard], Say]


class ScriptedServer:
    """The server's address, its script and what it heard."""

    def __init__(self) -> None:
        self.script: Script = lambda _: Say(body={})
        self.login: Script = self._grant
        self.heard: list[Heard] = []
        self.logins: list[Heard] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.http.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"

    @property
    def connection(self) -> SalesforceConnection:
        return SalesforceConnection(self.url, "the-app", ClientCredentials(SECRET))

    def answers(self, *replies: Say) -> None:
        """Answer calls with these in turn, the last one for ever."""
        waiting = list(replies)
        self.script = lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def reply(self, heard: Heard) -> Say:
        with self._lock:
            if heard.path.endswith("/oauth2/token"):
                self.logins.append(heard)
                return self.login(heard)
            self.heard.append(heard)
            return self.script(heard)

    def _grant(self, _: Heard) -> Say:
        identity = f"https://login.salesforce.com/id/{ORGANISATION_ID}/005000000000001AAA"
        return Say(body={"access_token": f"token-{len(self.logins)}", "instance_url": self.url, "id": identity})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                heard = Heard(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                self._say(server.reply(heard))

            def _say(self, say: Say) -> None:
                if say.silent:
                    server.stopping.wait(2 * PATIENCE_SECONDS)
                if say.silent or say.drop:
                    self.close_connection = True
                    return
                content = say.body.encode() if isinstance(say.body, str) else json.dumps(say.body).encode()
                self.send_response(say.status)
                for name, value in say.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if say.cut else content)
                self.close_connection = self.close_connection or say.cut

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def composite(*parts: tuple[int, Any]) -> Say:
    """A composite's answer with these (status, body) parts."""
    return Say(
        body={
            "compositeResponse": [
                {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": f"part{position}"}
                for position, (status, body) in enumerate(parts)
            ]
        }
    )
