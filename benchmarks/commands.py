"""Our own commands as processes: what one took, and what a delivery said of itself."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

WRITEBACKS = str(Path(sys.executable).with_name("writebacks"))
"""The command."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that succeeded: its seconds, those of the processor, its peak memory, what it printed and logged.

    Processor and memory are those of the process and of those that it started and waited for.
    """

    seconds: float
    processor: float
    megabytes: int
    output: str
    log: tuple[Mapping[str, Any], ...]

    def logged(self, event: str) -> float:
        """The seconds of all log lines of that event."""
        return sum(line["seconds"] for line in self.log if line.get("event") == event)


def run(command: Sequence[str], variables: Mapping[str, str], *, ends_with: Sequence[int] = (0,)) -> Ran:
    """Run it to its end; an error with what it said where it ends with another code."""
    told = {**variables, "WRITEBACK_LOG_LEVEL": "info", "WRITEBACK_LOG_FORMAT": "json"}
    started = time.monotonic()
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=told, stdout=output, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, complained = output.read(), errors.read()
    if process.returncode not in ends_with:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said[-2000:]} {complained[-4000:]}")
    lines = tuple(json.loads(line) for line in complained.splitlines() if line.startswith('{"at"'))
    return Ran(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, said, lines)
