"""Looks at the pipeline's health beside the console: somebody is told when Dagster ticks no more, without a timer."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from writeback_pipeline.delivery.watching import Teller, WatchedLedger, watch

SECONDS = 60.0
LAST_LOOK_SECONDS = 2.0
"""How long the end waits for a look that is under way."""

_log = logging.getLogger(__name__)


def keep_looking(
    ledger: WatchedLedger, teller: Teller, *, seconds: float = SECONDS, troubles: tuple[type[Exception], ...]
) -> Callable[[], None]:
    """Look again and again in a thread, until what is returned is called. A look that fails is a line in the log."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            try:
                watch(ledger, teller, lambda: datetime.now(UTC))
            except troubles as error:
                _log.warning("no look for alerts was possible: %s", error)
            except Exception:
                _log.exception("a look for alerts met unexpected trouble")

    thread = threading.Thread(target=run, name="lookout", daemon=True)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join(LAST_LOOK_SECONDS)

    return end
