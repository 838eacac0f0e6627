"""The charts of the overview, made of the ledger's figures: what every day brought, how long it took, what it cost."""

from collections.abc import Callable, Sequence
from datetime import date, datetime

from writeback_pipeline.console.charts import Chart, Series
from writeback_pipeline.domain.latency import Spread
from writeback_pipeline.domain.overview import Day, Overview, Tally


def charts(seen: Overview) -> dict[str, Chart]:
    """Every chart by the name that its address has."""
    return {
        "opt-outs": _tallies(seen.days, lambda day: day.opt_outs),
        "latency": _latency(seen),
        "activity": _tallies(seen.days, lambda day: day.activity),
        "calls": _calls(seen),
    }


def summary(chart: Chart) -> str:
    """What the picture shows in a sentence, for who does not see it."""
    first, last = chart.positions[0], chart.positions[-1]
    if chart.kind == "lines":
        latest = [(chart.positions[at], chart.cells(at)) for at, number in enumerate(chart.series[0].numbers) if number]
        if not latest:
            return f"Nothing was written from {first} to {last}."
        day, cells = latest[-1]
        told = ", ".join(f"{series.name} {cell}" for series, cell in zip(chart.series, cells, strict=True))
        return f"From {first} to {last}; latest, on {day}: {told}. The numbers are in the table."
    sums = [f"{sum(number or 0 for number in series.numbers):,.0f} {series.name}" for series in chart.series]
    return f"From {first} to {last}: {', '.join(sums)}. The numbers are in the table."


def _tallies(days: Sequence[Day], of: Callable[[Day], Tally]) -> Chart:
    def numbers(name: str) -> tuple[int, ...]:
        return tuple(getattr(of(day), name) for day in days)

    return Chart(
        "bars",
        tuple(_day(each.day) for each in days),
        (
            Series("written", "good", numbers("written")),
            Series("waiting", "warning", numbers("waiting")),
            Series("failed", "bad", numbers("failed")),
            Series("nothing to write", "muted", numbers("nothing_to_write")),
        ),
        every=3,
    )


def _latency(seen: Overview) -> Chart:
    def numbers(of: Callable[[Spread], float]) -> tuple[float | None, ...]:
        found = (seen.latency.get(each.day) for each in seen.days)
        return tuple(of(each.queued_to_written) if each else None for each in found)

    return Chart(
        "lines",
        tuple(_day(each.day) for each in seen.days),
        (
            Series("half within", "accent", numbers(lambda spread: spread.p50)),
            Series("95 % within", "warning", numbers(lambda spread: spread.p95)),
        ),
        every=3,
    )


def _calls(seen: Overview) -> Chart:
    hours = tuple(_hour(hour) for hour in seen.calls)
    return Chart("bars", hours, (Series("API calls", "accent", tuple(seen.calls.values())),), every=12)


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"


def _hour(hour: datetime) -> str:
    return f"{hour.day} {hour:%b %H}:00"
