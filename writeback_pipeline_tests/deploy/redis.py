"""A Redis server of a test's own, on a free port of the loopback interface and with a password, as in production."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from writeback_pipeline_tests.patience import PATIENCE_SECONDS, reserved_port, wait_until


@contextmanager
def own_redis(folder: Path) -> Iterator[str]:
    """Its URL, as long as the block lasts; it keeps nothing on disk."""
    password, configuration = secrets.token_hex(16), folder / "redis.conf"
    with reserved_port() as port:
        configuration.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndir {folder}\nlogfile {folder}/redis.log\n'
        )
        process = subprocess.Popen(["redis-server", configuration])
        try:
            with redis.Redis.from_url(f"redis://:{password}@127.0.0.1:{port}/0") as client:
                wait_until(lambda: _answers(client))
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _answers(client: redis.Redis) -> bool:
    with suppress(redis.ConnectionError):
        return bool(client.ping())
    return False
