"""The bare group-by of person, day and kind with count, first and last, by pandas or polars, in their environment.

`build/bench/bin/python benchmarks/bare_group_by.py LIBRARY FOLDER` prints the seconds that it took and those of the
processor, imports left out.
"""

import sys
import time


def by_pandas(folder: str) -> int:
    """Every file read by pyarrow, as pandas does."""
    import pandas as pd

    events = pd.read_parquet(folder, columns=["salesforce_id", "occurred_at", "kind"])
    day = events["occurred_at"].dt.floor("D").rename("day")
    grouped = events.groupby(["salesforce_id", day, "kind"], observed=True)["occurred_at"]
    return len(grouped.agg(["count", "min", "max"]))


def by_polars(folder: str) -> int:
    """Lazily, so that polars may leave out what is not needed."""
    import polars as pl

    at = pl.col("occurred_at")
    events = pl.scan_parquet(f"{folder}/*/*.parquet").select("salesforce_id", "kind", at)
    grouped = events.group_by("salesforce_id", at.dt.date().alias("day"), "kind")
    return int(grouped.agg(pl.len(), at.min().alias("first"), at.max().alias("last")).collect().height)


if __name__ == "__main__":
    library, folder = sys.argv[1:]
    work = {"pandas": by_pandas, "polars": by_polars}[library]
    __import__(library)
    started, processor = time.perf_counter(), time.process_time()
    work(folder)
    print(time.perf_counter() - started, time.process_time() - processor)
