"""Receivers of alerts on this machine: a web server that takes webhooks, or does something else; a mail server."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from writeback_pipeline_tests.patience import PATIENCE_SECONDS, reserved_port

SECRET_PATH = "/services/T000/B000/canaryWebhookSecret"
USER, PASSWORD = "alerts@example.org", "canary Mail/Password"


@dataclass
class Hooks:
    """What a webhook was sent, and how it answers: a status, a body, headers, after a while."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    texts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def webhook() -> Iterator[Hooks]:
    """A server on a free port; what it answers may be changed at any time."""
    hooks = Hooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = hooks.status
            hooks.paths.append(self.path)
            time.sleep(hooks.seconds)
            if status == 200:
                hooks.texts.append(body["text"])
            self.send_response(status)
            for name, value in hooks.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(hooks.body)

        do_GET = do_POST  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        hooks.url = f"http://127.0.0.1:{server.server_port}{SECRET_PATH}"
        try:
            yield hooks
        finally:
            server.shutdown()


@dataclass
class Mails:
    """What a mail server was handed, and on which port it listens."""

    port: int
    subjects: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, bool]] = field(default_factory=list)


class _Handler:
    def __init__(self, mails: Mails) -> None:
        self._mails = mails

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self._mails.subjects.append(mail["Subject"])
        self._mails.bodies.append(mail.get_content().replace("\r\n", "\n"))
        self._mails.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@contextmanager
def mail_server(certificate: Path | None = None, *, tls: bool = False, login: bool = False) -> Iterator[Mails]:
    """A server on a free port: with TLS from the start, or with STARTTLS where there is a certificate; with a login."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object) -> AuthResult:
        assert isinstance(given, LoginPassword)
        right = given == LoginPassword(USER.encode(), PASSWORD.encode())
        mails.logins.append((mechanism, right))
        return AuthResult(success=right, handled=right)

    with reserved_port() as port:
        mails = Mails(port)
        controller = Controller(
            _Handler(mails),
            hostname="127.0.0.1",
            port=port,
            ready_timeout=PATIENCE_SECONDS,
            ssl_context=context if tls else None,
            tls_context=None if tls else context,
            require_starttls=context is not None and not tls,
            authenticator=check if login else None,
            auth_required=login,
            auth_require_tls=not tls,
        )
        controller.start()
        try:
            yield mails
        finally:
            controller.stop()


def certificate_for_loopback(folder: Path) -> Path:
    """A file with a self-signed certificate of this machine and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "loopback.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file
