"""Charts: what the picture and the table say, and that the picture is plain, small and always the same."""

import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import run
from xml.etree import ElementTree

import pytest

from writeback_pipeline.console.charts import Chart, Series, spoken
from writeback_pipeline.console.drawing import draw

DAYS = tuple(f"{day} Nov" for day in range(10, 24))
BARS = Chart("bars", DAYS, (Series("written", "good", (1_200,) * 14), Series("failed", "bad", (3,) * 14)), 3)
LINES = Chart("lines", DAYS, (Series("half within", "accent", (None, 0.0, 4.2, *(7_200.0,) * 11)),), 3)
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("chart", [BARS, LINES], ids=["bars", "lines"])
def test_a_picture_is_the_same_for_the_same_numbers_and_another_in_the_dark_and_when_narrow(chart: Chart) -> None:
    variants = {draw(chart, dark=dark, narrow=narrow) for dark in (False, True) for narrow in (False, True)}
    assert len(variants) == 4
    draw.cache_clear()
    assert draw(chart) in variants
    for svg in variants:
        assert len(svg) < 60_000
        assert b"script" not in svg.lower()


def test_the_last_position_always_has_its_label() -> None:
    for narrow in (False, True):
        shown = texts(draw(BARS, narrow=narrow))
        assert "23 Nov" in shown
        assert {"written", "failed", "1,200"} <= set(shown)


def test_durations_are_on_a_scale_of_seconds_to_days() -> None:
    assert {"10 ms", "1 s", "1 h"} <= set(texts(draw(LINES)))


def test_nothing_at_all_can_be_drawn_too() -> None:
    nothing = Chart("bars", DAYS, (Series("written", "good", (0,) * 14),))
    assert nothing.empty
    assert b"</svg>" in draw(nothing)
    assert Chart("lines", DAYS, (Series("half within", "accent", (None,) * 14),)).empty
    assert not LINES.empty


def test_many_threads_draw_each_their_own() -> None:
    draw.cache_clear()
    alone = [draw(chart, dark=dark) for chart in (BARS, LINES) for dark in (False, True)]
    draw.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [(chart, dark) for chart in (BARS, LINES) for dark in (False, True)] * 3
        drawn = list(pool.map(lambda each: draw.__wrapped__(each[0], dark=each[1]), asked))
    assert drawn == alone * 3


def test_the_table_has_what_the_picture_shows() -> None:
    assert BARS.cells(0) == ["1,200", "3"]
    assert [LINES.cells(position) for position in range(4)] == [[""], ["0 s"], ["4.2 s"], ["2 h"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.25, "250 ms"), (1, "1 s"), (4.24, "4.2 s"), (59.7, "60 s"), (60, "1 min"), (90, "1.5 min"),
        (3_600, "1 h"), (86_400, "1 d"), (86_400 * 30.4, "30 d"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


def test_the_console_starts_without_matplotlib() -> None:
    loaded = "import sys, writeback_pipeline.console.app; print('matplotlib' in sys.modules)"
    assert run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "False\n"
