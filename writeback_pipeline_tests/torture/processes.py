"""Worker processes as the tests hold them: raised, stopped, continued, killed; one at a time each."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from writeback_pipeline_tests.patience import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]


class WorkerProcess:
    """A place for one worker at a time, with a process of its own that raises them."""

    def __init__(self) -> None:
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "writeback_pipeline_tests.torture.worker"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._worker: int | None = None

    def start(self, **order: Any) -> None:
        """Raise a worker; `order` is what `worker.deliver` takes."""
        assert self._worker is None
        self._worker = self._ask(json.dumps(order))

    def send(self, what: signal.Signals) -> None:
        """Send the worker a signal, such as to stop and to continue."""
        assert self._worker is not None
        os.kill(self._worker, what)

    def kill(self) -> int:
        """Kill the worker; its exit code: that signal's, unless it had ended before."""
        assert self._worker is not None
        self._worker = None
        return self._ask("kill")

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nursery.communicate(timeout=PATIENCE_SECONDS)  # without a next line it kills the worker and ends

    def _ask(self, line: str) -> int:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(line + "\n")
        self._nursery.stdin.flush()
        answer = self._nursery.stdout.readline()
        assert answer, "the process that raises workers has ended"
        return int(answer)
