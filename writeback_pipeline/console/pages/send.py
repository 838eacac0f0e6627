"""Send now: windows of mailing activity that somebody chooses, first as a preview, then as Dagster runs."""

import secrets
from datetime import timedelta

from starlette.responses import Response

from writeback_pipeline.console.ports import RunsUnavailable
from writeback_pipeline.console.sending import (
    ACTION,
    FROM_CONSOLE,
    MOST_WINDOWS,
    Wanted,
    as_action,
    launches,
    sending_id,
    sent,
    wanted,
)
from writeback_pipeline.console.visits import Action, Page, Visit
from writeback_pipeline.delivery.activity_preview import preview_windows
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import Asked
from writeback_pipeline.domain.partitions import FIRST_DAY
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.windows import calendar_of, chosen_kinds, window_of

PATH = "/settings/send"
RECENT = 8
_FIELDS = ("occurrence", "from", "to")


def show(visit: Visit) -> Response:
    """The form; with a window chosen, also what sending it would take."""
    asked = visit.request.query_params
    settings = visit.ports.ledger.activity_settings()
    if "from" not in asked:
        last_closed = window_of(visit.now, calendar_of(settings)).start - timedelta(hours=1)
        name = window_of(last_closed, calendar_of(settings)).name
        values = {"occurrence": settings.occurrence.value, "from": name, "to": name}
        return _page(visit, settings, values, [kind.value for kind in chosen_kinds(settings)])
    return _preview(visit, settings, {name: asked.get(name, "") for name in _FIELDS}, asked.getlist("kind"))


def send(visit: Visit) -> Response:
    """Start a run for each window; a form that comes twice starts them once."""
    settings = visit.ports.ledger.activity_settings()
    values = {name: visit.text(name) for name in _FIELDS}
    kinds = [text for name, text in visit.texts() if name == "kind"]
    sending = visit.text("sending") or secrets.token_hex(8)
    if any(sending_id(action) == sending for action in visit.ports.ledger.latest_actions(ACTION, 50)):
        return visit.go(visit.at(PATH), "This was sent already: its runs are below.")
    try:
        asked_for = _wanted(visit, settings, values, kinds)
    except ValueError as error:
        return _page(visit, settings, values, kinds, status=422, problem=str(error))
    visit.ports.ledger.enter_action(as_action(asked_for, sending, Asked(visit.user.name, visit.now)))
    started = 0
    try:
        for launch in launches(asked_for, sending, visit.user.name):
            visit.ports.runs.launch(launch)
            started += 1
    except RunsUnavailable as error:
        told = f"{started} of {len(asked_for.windows)} runs were started. {error}" if started else str(error)
        return _page(visit, settings, values, kinds, status=502, problem=told)
    runs = "A run is" if started == 1 else f"{started} runs are"
    return visit.go(visit.at(PATH), f"{runs} on the way: {asked_for.words}.")


ROUTES = (Page(PATH, show), Action(PATH, send))


def _wanted(visit: Visit, settings: WritebackSettings, values: dict[str, str], kinds: list[str]) -> Wanted:
    return wanted(values["occurrence"], values["from"], values["to"], kinds, settings, visit.now)


def _preview(visit: Visit, settings: WritebackSettings, values: dict[str, str], kinds: list[str]) -> Response:
    try:
        asked_for = _wanted(visit, settings, values, kinds)
    except ValueError as error:
        return _page(visit, settings, values, kinds, status=422, problem=str(error))
    ledger = visit.ports.ledger
    rows = list(preview_windows(ledger, visit.ports.activity(), settings, asked_for.windows, asked_for.kinds))
    hold = ledger.hold(Purpose.ACTIVITY, visit.now)
    return _page(
        visit,
        settings,
        values,
        kinds,
        asked_for=asked_for,
        rows=rows,
        hold=hold.words if hold else None,
        calls_left=ledger.calls_left(Purpose.ACTIVITY, visit.now),
        sending=secrets.token_hex(8),
    )


def _page(
    visit: Visit,
    settings: WritebackSettings,
    values: dict[str, str],
    kinds: list[str],
    *,
    status: int = 200,
    **context: object,
) -> Response:
    actions = visit.ports.ledger.latest_actions(ACTION, RECENT)
    away = None
    try:
        runs = visit.ports.runs.tagged(FROM_CONSOLE, "console", RECENT * MOST_WINDOWS) if actions else []
    except RunsUnavailable as error:
        runs, away = [], str(error)
    shown = {"problem": None, "asked_for": None, "rows": (), "hold": None, "calls_left": 0, "sending": ""}
    return visit.page(
        "send.html",
        status=status,
        values=values,
        kinds=kinds,
        settings=settings,
        earliest=FIRST_DAY,
        latest=visit.now.astimezone(settings.zone).date().isoformat(),
        recent=sent(actions, runs),
        under_way=any(not run.is_over for run in runs),
        away=away,
        links=visit.ports.links,
        **{**shown, **context},
    )
