"""Dagster's runs and events on PostgreSQL, by a URL as everybody writes it. Named in deploy/*/dagster.yaml.

SQLAlchemy takes a `postgresql://` for psycopg 3, which is installed for the ledger; Dagster's storage is written for
psycopg2 and would fail at its first event, with a syntax error.
"""

from typing import Any

from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config

DRIVER = "postgresql+psycopg2://"


class PostgresStorage(DagsterPostgresStorage):
    """Dagster's own, with the driver that it needs."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PostgresStorage":
        """The storage at `postgres_url`; one that names a driver keeps it."""
        return cls(with_driver(pg_url_from_config(config_value)), inst_data=inst_data)


def with_driver(url: str) -> str:
    """The URL of a PostgreSQL server with the driver for Dagster's storage, where it names none."""
    scheme, separator, rest = url.partition("://")
    return DRIVER + rest if separator and scheme in ("postgresql", "postgres") else url
