"""Who stands opted out, and to whom something is owed just now: the ledger's side of an audit."""

from writeback_pipeline.domain.auditing import Expectation
from writeback_pipeline.store.session import Session

_UNDER_WAY = (
    "SELECT w.person_id FROM writebacks w WHERE w.kind IN ('unsubscribe', 'resubscribe') "
    "AND w.status IN ('pending', 'sending', 'waiting', 'unknown') AND w.person_id IS NOT NULL "
    "UNION SELECT p.person_id FROM people p WHERE p.verify_after IS NOT NULL"
)


def expectations(session: Session, sample: int) -> list[Expectation]:
    """Everybody who stands opted out, or that many of them drawn by lot where `sample` is not 0."""
    limit = f"ORDER BY random() LIMIT {int(sample)}" if sample else "ORDER BY s.person_id"
    rows = session.execute(
        "SELECT s.person_id, s.platform, s.elsewhere, s.flag_set FROM ("
        "SELECT o.person_id, bool_or(o.origin = 'platform') AS platform, "
        "max(CASE WHEN o.origin <> 'platform' THEN o.origin END) AS elsewhere, bool_or(o.flag_set) AS flag_set "
        f"FROM opt_out_origins o WHERE o.cleared_at IS NULL GROUP BY o.person_id) s {limit}"
    ).fetchall()
    return [
        Expectation(person, (*(("platform",) if platform else ()), *((elsewhere,) if elsewhere else ())), flag_set)
        for person, platform, elsewhere, flag_set in rows
    ]


def under_way(session: Session) -> frozenset[str]:
    """People to whom something is owed, or whose flag is to be looked at."""
    return frozenset(person for (person,) in session.execute(_UNDER_WAY).fetchall())
