"""The setup page: API usage, field-level security of Email Opt Out, the package, and the faults that are armed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from writeback_pipeline.local_org import faults, package, records, settings, usage
from writeback_pipeline.local_org.fault_kinds import KINDS
from writeback_pipeline.local_org.fault_texts import peculiarities
from writeback_pipeline.local_org.faults import Fault
from writeback_pipeline.local_org.pages.visit import Visit, go_to, render

_OPT_OUT_FIELDS = frozenset({"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail"})
_SAID = {
    "visibility": "Field-level security was saved.",
    "package": "The package was changed.",
    "arm": "The fault is armed.",
    "clear": "Disarmed.",
}


def show(visit: Visit) -> Response:
    """Everything that can be seen and switched, as it is now."""
    connection = visit.connection
    with records.reading(connection):
        chosen = settings.load(connection)
        return render(
            "setup.html",
            used=usage.used(connection, visit.seconds),
            limit=chosen.daily_api_requests,
            users=usage.by_user(connection, visit.seconds),
            fields={name: name not in chosen.hidden for name in sorted(_OPT_OUT_FIELDS)},
            contents={name: name not in chosen.hidden for name in sorted(package.CONTENTS)},
            armed=[_armed(connection, fault) for fault in faults.armed(connection)],
            injected=faults.injected(connection),
            kinds=KINDS,
            said=_SAID.get(visit.query.get("did", "")),
        )


def _armed(connection: sqlite3.Connection, fault: Fault) -> dict[str, Any]:
    return {
        "id": fault.id,
        "kind": fault.kind,
        "said": peculiarities(fault),
        "struck": faults.struck(connection, fault),
        "remaining": faults.remaining(connection, fault),
    }


def change(visit: Visit) -> Response:
    """Switch one thing and show the page again."""
    what = visit.path["what"]
    switch = _SWITCHES.get(what)
    if switch is None:
        return render("refused.html", 404, title="No such switch", told="The setup page shows those there are.")
    switch(visit)
    return go_to(f"/setup?did={what}#{what}")


def _visibility(visit: Visit) -> None:
    shown = _OPT_OUT_FIELDS & visit.form.keys()
    with records.atomic(visit.connection):
        hidden = settings.load(visit.connection).hidden
        settings.change(visit.connection, hidden=(hidden - shown) | (_OPT_OUT_FIELDS - shown))


def _package(visit: Visit) -> None:
    (package.install if visit.form.get("to") == "installed" else package.uninstall)(visit.connection)


def _clear(visit: Visit) -> None:
    armed = {str(fault.id): fault.id for fault in faults.armed(visit.connection)}
    if "fault" not in visit.form:
        faults.clear(visit.connection)
    elif visit.form["fault"] in armed:
        faults.clear(visit.connection, armed[visit.form["fault"]])


_SWITCHES: dict[str, Callable[[Visit], None]] = {"visibility": _visibility, "package": _package, "clear": _clear}
