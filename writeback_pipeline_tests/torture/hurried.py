"""The command line in a hurry: `python -m writeback_pipeline_tests.torture.hurried AHEAD run opt-outs --wait`.

Everything is as in any process, but that its clock jumps over most of a long wait. It begins AHEAD seconds ahead of the
machine's; the last line of its output tells how far ahead it is in the end, where a process that comes after begins.
"""

import sys
import time
from datetime import UTC, datetime, timedelta

import time_machine

REAL = 0.2
"""Seconds of a wait that are not skipped: others get on with their work meanwhile."""


def main() -> None:
    """Run `writebacks` with the arguments that follow the first."""
    ahead, sleep = float(sys.argv.pop(1)), time.sleep
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=ahead)) as clock:

        def hurry(seconds: float) -> None:
            nonlocal ahead
            sleep(min(seconds, REAL))
            if seconds > REAL:
                clock.shift(seconds - REAL)
                ahead += seconds - REAL

        time.sleep = hurry  # type: ignore[assignment]
        from writeback_pipeline import cli  # after that: some keep the function

        try:
            cli.main(prog_name="writebacks")
        finally:
            sys.stdout.write(f"{ahead}\n")


if __name__ == "__main__":
    main()
