"""A `postgresql://` URL as this project takes it: libpq's own, and `schema`, which home of several it is.

What is shown of it never holds a password, nor any text of a URL that could not be read: a password may be in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from writeback_pipeline.store.errors import StoreUnusable

_OURS = {
    "application_name": "writebacks",
    "client_encoding": "utf8",
    "connect_timeout": "5",  # seconds, for each address
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",  # milliseconds
    "target_session_attrs": "read-write",
}
"""What holds unless the URL says otherwise: a peer that is gone is noticed, a standby is no place to write to."""

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is: `conninfo` is libpq's and secret, `shown` is for people."""

    conninfo: str = field(repr=False)
    schema: str
    shown: str


def parse(url: str) -> Server:
    """The server that the URL names; raises StoreUnusable, without a word of the URL, for one that cannot be read."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        schema = query.pop("schema", "public")
        info = conninfo_to_dict(f"{url.partition('?')[0]}?{urlencode(query)}")
        for number in (*str(info.get("port") or "").split(","), info.get("connect_timeout")):
            int(number or 0)
    except (ValueError, ProgrammingError):
        raise _unreadable() from None
    if url.partition("?")[0].count("@") > 1 or parts.fragment or "@" in parts.path:
        raise _unreadable()
    if not _SCHEMA.fullmatch(schema):
        raise StoreUnusable(
            "The schema in WRITEBACK_DATABASE is not one that this project makes: lower-case letters, digits and "
            "underscores, no digit first."
        )
    return Server(make_conninfo("", **{**_OURS, **info}), schema, _shown(info, schema))


def _unreadable() -> StoreUnusable:
    return StoreUnusable(
        "WRITEBACK_DATABASE is no URL that PostgreSQL takes. It reads postgresql://USER:PASSWORD@HOST:PORT/DATABASE; "
        "signs such as @ : / # ? % in a password are written as %40 %3A %2F %23 %3F %25."
    )


def _shown(info: Mapping[str, object], schema: str) -> str:
    user = f"{info['user']}@" if info.get("user") else ""
    port = f":{info['port']}" if info.get("port") else ""
    suffix = "" if schema == "public" else f"?schema={schema}"
    return f"postgresql://{user}{info.get('host') or ''}{port}/{info.get('dbname') or ''}{suffix}"
