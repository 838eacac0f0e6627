"""Writeback Settings: what is set, how it is changed, who changed what.

Two people may save at once. The form carries how many changes its page knew of; whoever comes second is told what the
other changed, and saves again over it or not.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from starlette.responses import Response

from writeback_pipeline.console.setting_effects import effects, next_delivery
from writeback_pipeline.console.setting_form import (
    LABELS,
    READ_ONLY,
    before,
    filled_in,
    merged,
    problems,
    told,
    words,
)
from writeback_pipeline.console.visits import Action, Page, Visit
from writeback_pipeline.domain.ledger import SettingsMoved
from writeback_pipeline.domain.settings import (
    Frequency,
    NoteObject,
    Occurrence,
    Weekday,
    WritebackSettings,
    as_mapping,
    setting_text,
    settings_from,
)

PATH = "/settings"
RECENT = 8
"""Changes shown on the page itself."""

VERSION = "version"
"""The field that says how many changes the page knew of."""


def show(visit: Visit) -> Response:
    """The settings as they are; a stored value that is not allowed is shown with what is wrong about it."""
    return _page(visit, {})


def save(visit: Visit) -> Response:
    """Change what the form says differently: all of it or, where something is wrong or somebody was faster, nothing."""
    fields = dict(visit.texts())
    seen, mine = fields.pop(VERSION, ""), filled_in(fields)
    wrong = problems(mine)
    if wrong:
        return _page(visit, mine, status=422, problems=wrong, seen=seen)
    try:
        changes = visit.ports.ledger.change_settings(mine, visit.user.name, visit.now, seen=_number(seen))
    except SettingsMoved:
        return _conflict(visit, mine, _number(seen))
    if not changes:
        return visit.go(visit.at(PATH), "Nothing was changed: everything is as it was.")
    settings = settings_from(visit.ports.ledger.setting_texts())
    return visit.go(visit.at(PATH), "\n".join(["Saved.", *map(told, changes), *effects(changes, settings, visit.now)]))


def history(visit: Visit) -> Response:
    """Every change there ever was, newest first."""
    changes = visit.ports.ledger.settings_history()
    zone = _settings(visit.ports.ledger.setting_texts()).zone
    return visit.page("settings_history.html", changes=changes[::-1], labels=LABELS, words=words, zone=zone)


ROUTES = (Page(PATH, show), Action(PATH, save), Page(f"{PATH}/history", history))


def _conflict(visit: Visit, mine: Mapping[str, str], seen: int) -> Response:
    theirs = visit.ports.ledger.settings_history()[seen:]
    now = visit.ports.ledger.setting_texts()
    shown = before(now, theirs)
    both = {change.name for change in theirs if mine.get(change.name, shown[change.name]) != shown[change.name]}
    return _page(visit, merged(mine, shown, now), status=409, problems={}, theirs=theirs, both=both)


def _page(
    visit: Visit,
    texts: Mapping[str, str],
    *,
    status: int = 200,
    problems: Mapping[str, str] | None = None,
    seen: str | None = None,
    **context: Any,
) -> Response:
    changes = visit.ports.ledger.settings_history()
    stored = visit.ports.ledger.setting_texts()
    settings = _settings(stored)
    return visit.page(
        "settings.html",
        status=status,
        values=stored | dict(texts),
        problems=_wrong(stored) if problems is None else problems,
        version=len(changes) if seen is None else seen,
        suppressed=settings.suppress_opt_out_flag,
        next_delivery=next_delivery(settings, visit.now),
        settings=settings,
        recent=changes[: -RECENT - 1 : -1],
        older=max(0, len(changes) - RECENT),
        labels=LABELS,
        words=words,
        told=told,
        zones=_zones(),
        defaults=_DEFAULTS,
        choices=_CHOICES,
        **{"theirs": (), "both": (), **context},
    )


def _settings(stored: Mapping[str, str]) -> WritebackSettings:
    """The settings, the default where a stored value is not allowed."""
    wrong = _wrong(stored)
    return settings_from({name: text for name, text in stored.items() if name not in wrong})


def _wrong(stored: Mapping[str, str]) -> dict[str, str]:
    return problems({name: text for name, text in stored.items() if name != READ_ONLY})


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


@cache
def _zones() -> list[str]:
    return sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")


_DEFAULTS = {name: setting_text(value) for name, value in as_mapping(WritebackSettings()).items()}
_CHOICES = {
    "occurrence": list(Occurrence),
    "frequency": list(Frequency),
    "week_starts_on": list(Weekday),
    "note_object": list(NoteObject),
}
