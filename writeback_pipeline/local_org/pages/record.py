"""The page of a Contact or Lead, and what can be done on it: tick or clear Email Opt Out, delete, convert, merge.

Every action is `admin`'s, in the administrator's name, and leaves the traces that a Salesforce user would leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response

from writeback_pipeline.local_org import admin, ids, records, settings
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.pages.visit import Visit, go_to, render
from writeback_pipeline.local_org.record_view import details, person_of, view
from writeback_pipeline.local_org.schema import by_key_prefix
from writeback_pipeline.local_org.session import Session

_SAID = {
    "opt-out": "Email Opt Out was saved.",
    "delete": "The record was put into the recycle bin.",
    "undelete": "The record is back from the recycle bin.",
    "convert": "The Lead was converted; this is the Contact.",
    "merge": "The records were merged into this one.",
}


def show(visit: Visit) -> Response:
    """The record of that id; the id of a Note or Task leads to the person whom it hangs on."""
    record_id = ids.normalise(visit.path["record_id"])
    person = person_of(visit.connection, record_id) if record_id else None
    if person is None:
        return _missing()
    if person != visit.path["record_id"]:
        return go_to(f"/record/{person}" + ("" if person == record_id else f"#{record_id}"))
    return _page(visit, person, said=_SAID.get(visit.query.get("did", "")))


def act(visit: Visit) -> Response:
    """Do what the form of the page asks for and show the result; what is refused is said on the page."""
    record_id = ids.normalise(visit.path["record_id"])
    action = _ACTIONS.get(visit.path["action"])
    if record_id is None or action is None or person_of(visit.connection, record_id) != record_id:
        return _missing()
    try:
        shown = action(visit.administrator(), record_id, visit.form)
    except ApiError as error:
        return _page(visit, record_id, status=error.status, trouble=error.message)
    return go_to(f"/record/{shown}?did={visit.path['action']}")


def _page(
    visit: Visit, record_id: str, status: int = 200, said: str | None = None, trouble: str | None = None
) -> Response:
    described = _object_of(record_id)
    with records.reading(visit.connection):
        shown = view(visit.connection, described, record_id)
        return render(
            "record.html",
            status,
            record=shown,
            details=details(visit.connection, described, record_id),
            hidden=f"{described}.HasOptedOutOfEmail" in settings.load(visit.connection).hidden,
            said=said,
            trouble=trouble,
        )


def _object_of(record_id: str) -> str:
    described = by_key_prefix(record_id[:3])
    assert described is not None, record_id
    return described.name


def _missing() -> Response:
    told = "It never had it, or it was removed from the recycle bin for good."
    return render("refused.html", 404, title="No such record", told=told)


def _opt_out(who: Session, record_id: str, form: Mapping[str, str]) -> str:
    """Refused when the box has changed since the page was shown."""
    described = _object_of(record_id)
    with records.atomic(who.connection):
        now = view(who.connection, described, record_id)
        if now is not None and now.email_opt_out != (form.get("was") == "ticked"):
            by = now.last_modified.by or "Somebody"
            raise ApiError(
                409, "", f"{by} changed Email Opt Out while you had the page open. It is shown as it is now."
            )
        admin.edit(who, record_id, {"HasOptedOutOfEmail": "ticked" in form})
    return record_id


def _delete(who: Session, record_id: str, _: Mapping[str, str]) -> str:
    admin.delete(who, record_id)
    return record_id


def _undelete(who: Session, record_id: str, _: Mapping[str, str]) -> str:
    admin.undelete(who, record_id)
    return record_id


def _convert(who: Session, record_id: str, form: Mapping[str, str]) -> str:
    return admin.convert_lead(who, record_id, form.get("contact", "").strip() or None)


def _merge(who: Session, record_id: str, form: Mapping[str, str]) -> str:
    admin.merge(who, record_id, form.get("others", "").replace(",", " ").split())
    return record_id


_ACTIONS: dict[str, Callable[[Session, str, Mapping[str, str]], str]] = {
    "opt-out": _opt_out,
    "delete": _delete,
    "undelete": _undelete,
    "convert": _convert,
    "merge": _merge,
}
