"""Who may come in: the applications and users that the organisation knows, and the access tokens it has given out.

Kept in the organisation's file, so a token that one process gave is good in every other. How a client asks for one
(the OAuth grants, SOAP) is in `api.auth` and `api.soap`.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

INTEGRATION_USER = "local@local.example"
"""User name in which client credentials work; its password, where one is asked for, is `local`."""

PASSWORD = "local"  # noqa: S105 - the documented sign-in of an organisation that only listens on loopback
LOCAL_CLIENT = "local"


class JwtClient(NamedTuple):
    """An application that signs its own assertions."""

    client_id: str
    username: str
    private_key_path: Path


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application: the secret it shows or the public key (PEM) its assertions are checked with."""

    client_id: str
    secret: str | None
    username: str
    public_key: str | None


def create_table(connection: sqlite3.Connection) -> None:
    """Make the tables of applications and tokens."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _clients (id TEXT PRIMARY KEY, secret TEXT, username TEXT, public_key TEXT)"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _tokens (token TEXT PRIMARY KEY, user_id TEXT NOT NULL, expires REAL NOT NULL)"
    )


def register_local_client(connection: sqlite3.Connection) -> None:
    """Let `local` in with the secret `local`, as the integration user."""
    row = (LOCAL_CLIENT, PASSWORD, INTEGRATION_USER, None)
    connection.execute("INSERT OR REPLACE INTO _clients VALUES (?, ?, ?, ?)", row)


def create_jwt_client(connection: sqlite3.Connection, folder: Path) -> JwtClient:
    """Make a key pair, register its public half, and write the private half as PEM into that folder."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    client_id = f"3MVG9{secrets.token_urlsafe(24)}"
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    row = (client_id, None, INTEGRATION_USER, public.decode())
    connection.execute("INSERT INTO _clients VALUES (?, ?, ?, ?)", row)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "jwt_private_key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return JwtClient(client_id, INTEGRATION_USER, path)


def client(connection: sqlite3.Connection, client_id: str) -> Client | None:
    """The registered application of that id."""
    row = connection.execute("SELECT * FROM _clients WHERE id = ?", (client_id,)).fetchone()
    return Client(*row) if row else None


def user_id(connection: sqlite3.Connection, username: str) -> str | None:
    """The id of the active user of that name."""
    row = connection.execute("SELECT Id FROM User WHERE Username = ? AND IsActive", (username,)).fetchone()
    return row[0] if row else None


def organisation_id(connection: sqlite3.Connection) -> str:
    """The organisation's own id, 18 characters."""
    found: str = connection.execute("SELECT Id FROM Organization").fetchone()[0]
    return found


def issue(connection: sqlite3.Connection, user: str, now: float, lifetime: float) -> str:
    """A new access token for that user, good for `lifetime` seconds from `now` (seconds since 1970)."""
    token = f"{organisation_id(connection)[:15]}!{secrets.token_urlsafe(72)}"
    connection.execute("DELETE FROM _tokens WHERE expires <= ?", (now,))
    connection.execute("INSERT INTO _tokens VALUES (?, ?, ?)", (token, user, now + lifetime))
    return token


def bearer(connection: sqlite3.Connection, token: str, now: float) -> str | None:
    """The user whom a token stands for at that instant, or None when it is unknown, expired or revoked."""
    row = connection.execute("SELECT user_id FROM _tokens WHERE token = ? AND expires > ?", (token, now)).fetchone()
    return row[0] if row else None


def revoke(connection: sqlite3.Connection, token: str) -> bool:
    """Make a token worthless; whether there was one."""
    return connection.execute("DELETE FROM _tokens WHERE token = ?", (token,)).rowcount > 0


def expire_all(connection: sqlite3.Connection) -> None:
    """Make every token worthless, as when an administrator ends all sessions."""
    connection.execute("DELETE FROM _tokens")
