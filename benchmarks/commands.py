"""Our own commands as processes: what one took, and what a delivery said of itself."""

import json
import os
import re
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

    Processor seconds are those of the process and of those that it started and waited for, memory is its own.
    """

    seconds: float
    processor: float
    megabytes: int
    output: str
    log: tuple[Mapping[str, Any], ...]

    def logged(self, event: str) -> float:
        """The seconds of all log lines of that event."""
        return float(sum(line["seconds"] for line in self.log if line.get("event") == event))


def variables_of(home: Path) -> dict[str, str]:
    """The environment of a command in that home, with nothing in it of an installation that this machine may have."""
    own = ("SALESFORCE_", "DAGSTER_", "WRITEBACK_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(own)}
    return kept | {"WRITEBACK_HOME": str(home)}


def run(command: Sequence[str], variables: Mapping[str, str], *, ends_with: Sequence[int] = (0,)) -> Ran:
    """Run it to its end; an error with what it said where it ends with another code."""
    told = {**variables, "WRITEBACK_LOG_LEVEL": "info", "WRITEBACK_LOG_FORMAT": "json"}
    started = time.monotonic()
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=told, stdout=output, stderr=errors)
        megabytes = _peak_until_its_end(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, complained = output.read(), errors.read()
    if process.returncode not in ends_with:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said[-2000:]} {complained[-4000:]}")
    lines = tuple(json.loads(line) for line in complained.splitlines() if line.startswith('{"at"'))
    return Ran(seconds, used.ru_utime + used.ru_stime, megabytes, said, lines)


def peak_megabytes(pid: int) -> int:
    """The most memory that a process has had; 0 of one that has ended."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def _peak_until_its_end(pid: int) -> int:
    """The same once it has ended, which leaves it to be waited for.

    What the system tells of a process that ended is no less than what its parent had when it began it.
    """
    peak = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        peak = max(peak, peak_megabytes(pid))
        time.sleep(0.02)
    return peak
