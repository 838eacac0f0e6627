"""A Redis server of a test's own, on a free port of the loopback interface and with a password, as in production."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from writeback_pipeline.commands.dev import free_port


@contextmanager
def own_redis(folder: Path) -> Iterator[str]:
    """Its URL, as long as the block lasts; it keeps nothing on disk."""
    port, password = free_port(0), secrets.token_hex(16)
    configuration = folder / "redis.conf"
    configuration.write_text(
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir {folder}\nlogfile {folder}/redis.log\n'
    )
    process = subprocess.Popen(["redis-server", configuration])
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    try:
        _wait(url)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for _ in range(1_500):
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
    raise AssertionError("redis-server does not answer")
