"""The stored settings and the history of their changes. Which values are allowed is decided in `domain.settings`."""

from collections.abc import Mapping
from datetime import datetime

from writeback_pipeline.domain.ledger import SettingChange, SettingsMoved
from writeback_pipeline.domain.settings import (
    InvalidSetting,
    WritebackSettings,
    as_mapping,
    as_stored,
    setting_text,
    settings_from,
    settings_without_activity,
)
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, as_columns, in_utc, unnested

_CHANGE = {
    "id": "BIGINT",
    "name": "TEXT",
    "old_value": "TEXT",
    "new_value": "TEXT",
    "changed_by": "TEXT",
    "changed_at": "TIMESTAMP",
}


def settings(session: Session) -> WritebackSettings:
    """The settings now. A value that a setting of activity does not take turns activity off and stops nothing else;
    raises InvalidSetting for any other."""
    stored = _stored(session)
    try:
        return settings_from(stored)
    except InvalidSetting:
        return settings_without_activity(stored)


def activity_settings(session: Session) -> WritebackSettings:
    """The settings now; raises InvalidSetting when somebody stored a value that any setting does not take."""
    return settings_from(_stored(session))


def setting_texts(session: Session) -> dict[str, str]:
    """Name to text of every setting, in the documented order, also where the text is none that it takes."""
    defaults = {name: setting_text(value) for name, value in as_mapping(WritebackSettings()).items()}
    stored = _stored(session)
    return {name: stored.get(name, default) for name, default in defaults.items()}


def change_settings(
    session: Session, texts: Mapping[str, str], by: str, now: datetime, seen: int | None = None
) -> list[SettingChange]:
    """Change these settings or, when one of the texts is not allowed, none; returns those that really changed.

    `seen` is how many changes whoever asks knew of: raises SettingsMoved when there are others.
    """
    wanted = as_stored(texts)
    if seen is not None and len(settings_history(session)) != seen:
        raise SettingsMoved("somebody else changed the settings meanwhile: nothing was changed")
    now_stored = setting_texts(session)
    changes = [
        SettingChange(name, now_stored[name], text, by, now)
        for name, text in wanted.items()
        if text != now_stored[name]
    ]
    for change in changes:
        session.execute(
            "INSERT INTO settings (name, value, changed_at, changed_by) VALUES ($1, $2, $3::TIMESTAMP, $4) "
            "ON CONFLICT (name) DO UPDATE "
            "SET value = excluded.value, changed_at = excluded.changed_at, changed_by = excluded.changed_by",
            [change.name, change.new, now, by],
        )
    ids = next_ids(session, "settings_history_ids", len(changes))
    rows = [(id_, c.name, c.old, c.new, c.by, c.at) for id_, c in zip(ids, changes, strict=True)]
    session.execute(
        f"INSERT INTO settings_history ({', '.join(_CHANGE)}) {unnested(_CHANGE)}", as_columns(rows, len(_CHANGE))
    )
    return changes


def settings_history(session: Session) -> list[SettingChange]:
    """Every change made so far, oldest first."""
    rows = session.execute(
        "SELECT name, old_value, new_value, changed_by, changed_at FROM settings_history ORDER BY id"
    ).fetchall()
    return [SettingChange(name, old, new, by, in_utc(at)) for name, old, new, by, at in rows]


def _stored(session: Session) -> dict[str, str]:
    return dict(session.execute("SELECT name, value FROM settings").fetchall())
