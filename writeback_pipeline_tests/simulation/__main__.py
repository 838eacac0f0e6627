"""Replay histories by their seeds: `python -m writeback_pipeline_tests.simulation 17 18`, or `0-1500` for many."""

import sys
from collections import Counter
from time import process_time

from writeback_pipeline_tests.simulation.history import History
from writeback_pipeline_tests.simulation.verdict import judge


def main(arguments: list[str]) -> int:
    seeds = [seed for text in arguments for seed in _seeds(text)]
    troubles: Counter[str] = Counter()
    met: Counter[str] = Counter()
    events = calls = 0
    begun = process_time()
    for seed in seeds:
        history = History(seed)
        verdict = judge(history)
        events, calls, met = events + verdict.events, calls + verdict.calls, met + verdict.met
        for kind, texts in verdict.troubles.items():
            troubles[kind] += 1
            for text in texts[:4]:
                print(f"seed {seed}: {kind}: {text} {history.traits}")
    seconds = process_time() - begun
    print(f"{len(seeds)} histories, {events} events, {calls} calls, {seconds:.1f} s: {dict(troubles) or 'no trouble'}")
    print(dict(met))
    return 1 if troubles else 0


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or int(first) + 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
