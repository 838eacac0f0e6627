"""A person: their story as `writebacks why` tells it, and how they stand on both sides.

Salesforce is asked only when somebody presses the button: a call or two, counted against the budget like any other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from writeback_pipeline.console.visits import Action, Page, Visit
from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.domain.both_sides import last_known_flag, opted_out
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Gone, Held, Live, Moved, OrganisationUnavailable
from writeback_pipeline.domain.story import Facts, heading, moments, standing

MOST_MOMENTS = 500
"""How many moments of a story are shown, the newest; `writebacks why` tells them all."""

_SILENT: tuple[type[Exception], ...] = (OrganisationUnavailable, WrongOrganisation)
_GONE = {
    "ENTITY_IS_DELETED": "The record is in the recycle bin.",
    "NOT_FOUND": "Salesforce has no such record: it never had it, or it was deleted for good.",
}


def find(visit: Visit) -> Response:
    """Where the search box leads."""
    wanted = visit.request.query_params.get("q", "").strip()
    if wanted:
        return RedirectResponse(visit.at(_path(wanted)), 303)
    return visit.page("people.html", who="", stories=[], looked={})


def show(visit: Visit) -> Response:
    """Everybody of that record id, e-mail address or subscriber."""
    who = visit.request.path_params["who"]
    return _page(visit, who, visit.ports.ledger.story(who), {})


def look(visit: Visit) -> Response:
    """The same page, with what Salesforce holds at this moment of the one record that the button is for."""
    who, record = visit.text("who"), visit.text("record")
    stories = visit.ports.ledger.story(who)
    people = [facts.people[0] for facts in stories if facts.people]
    person = next((each for each in people if each.salesforce_id == record), None)
    return _page(visit, who, stories, {person.salesforce_id: _looked(visit, person)} if person else {})


def _page(visit: Visit, who: str, stories: Sequence[Facts], looked: Mapping[str, Mapping[str, Any]]) -> Response:
    status = 200 if stories else 404
    return visit.page("people.html", status=status, who=who, stories=list(map(_story, stories)), looked=looked)


def _looked(visit: Visit, person: PersonRef) -> dict[str, Any]:
    try:
        held = visit.ports.look(person)
    except visit.ports.troubles + _SILENT as trouble:
        return {"trouble": str(trouble), "flag": None, "told": None, "moved": None}
    return {"trouble": None, **_told(held)}


def _told(held: Held) -> dict[str, Any]:
    match held:
        case Live(opted_out=flag):
            return {"flag": flag, "told": f"Email Opt Out is {'ticked' if flag else 'not ticked'}.", "moved": None}
        case Moved(to=to):
            told = f"The record was converted or merged: it is {to.object_type} {to.salesforce_id} now."
            return {"flag": None, "told": told, "moved": to.salesforce_id}
        case Gone(code=code):
            return {"flag": None, "told": _GONE[code], "moved": None}


def _story(facts: Facts) -> dict[str, Any]:
    told = moments(facts)
    shown = told[-MOST_MOMENTS:]
    return {
        "heading": heading(facts),
        "record": facts.people[0].salesforce_id if facts.people else None,
        "opted_out": opted_out(facts),
        "standing": standing(facts),
        "last_known": last_known_flag(facts),
        "days": [(day, list(those)) for day, those in groupby(shown, key=lambda moment: _midnight(moment.at))],
        "shown": len(shown),
        "all": len(told),
    }


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _path(who: str) -> str:
    return f"/people/{quote(who, safe='@')}"


ROUTES = (Page("/people", find), Action("/people", look), Page("/people/{who:path}", show))
