"""Which Salesforce organisation this database belongs to: pinned once, compared before every delivery."""

from writeback_pipeline.store.session import Session


def pinned_organisation(session: Session) -> str | None:
    """The pinned organisation's id, None while nothing was delivered yet."""
    rows = session.execute("SELECT organisation_id FROM organisation").fetchall()
    return rows[0][0] if rows else None


def pin_organisation(session: Session, organisation_id: str) -> str:
    """Pin this organisation unless one is pinned; returns the one that is."""
    session.execute(
        "INSERT INTO organisation (slot, organisation_id) VALUES (1, $1) ON CONFLICT DO NOTHING", [organisation_id]
    )
    pinned = pinned_organisation(session)
    assert pinned is not None
    return pinned
