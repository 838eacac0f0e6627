"""Plain text tables: columns side by side in the width there is, and never a character that a terminal would obey.

Text in, text out. Which columns matter most, and which hold texts that may be cut, is said by whoever has a table.
"""

import re
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence

from rich.cells import cell_len, set_cell_size

LONGEST = 60
"""Widest a cell gets, however wide the terminal, in character cells."""

SHORTEST = 12
"""Narrowest that a text is cut to."""

_GAP = "  "
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def plain(text: str) -> str:
    """The text on one line, without control characters and overrides of the writing direction."""
    return _UNPRINTABLE.sub(" ", text)


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere and needs no cutting."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    columns: Mapping[str, Sequence[str]],
    width: int | None = None,
    *,
    texts: Collection[str] = (),
    by_importance: Sequence[str] = (),
) -> tuple[str, list[str]]:
    """The columns (name to cells) as lines under a header, and the names that did not fit into `width`.

    Columns whose every cell is empty are left out, and do not count as not fitting. `texts` may be cut; the columns
    come and go in `by_importance`, those not named there last.
    """
    cells = {name: [plain(cell) for cell in column] for name, column in columns.items() if any(column)}
    natural = {
        name: min(LONGEST, max(cell_len(name), *(cell_len(cell) for cell in column))) for name, column in cells.items()
    }
    ranked = sorted(natural, key=lambda name: by_importance.index(name) if name in by_importance else len(columns))
    widths = natural if width is None else _fitted(natural, width, texts, ranked)
    shown = [name for name in natural if name in widths]
    rows = zip(*([name, *cells[name]] for name in shown), strict=True)
    lines = [_GAP.join(_cut(cell, widths[name]) for name, cell in zip(shown, row, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines), [name for name in natural if name not in widths]


def _fitted(natural: Mapping[str, int], width: int, texts: Collection[str], ranked: Sequence[str]) -> dict[str, int]:
    """The columns that fit at their least width, the first always; then what is left goes to the texts."""
    widths: dict[str, int] = {}
    room = width + len(_GAP)
    for name in ranked:
        least = min(natural[name], max(SHORTEST, cell_len(name))) if name in texts else natural[name]
        if not widths or least + len(_GAP) <= room:
            widths[name] = least
            room -= least + len(_GAP)
    for name in ranked:
        if name in widths and name in texts:
            more = min(natural[name] - widths[name], max(0, room))
            widths[name] += more
            room -= more
    return widths


def _cut(cell: str, width: int) -> str:
    if cell_len(cell) <= width:
        return set_cell_size(cell, width)
    return set_cell_size(cell, width - 1).rstrip() + "…"
