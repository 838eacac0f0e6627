"""One row of the Writeback List with everything that was done about it."""

from writeback_pipeline.domain.ledger import MAX_HOPS
from writeback_pipeline.domain.listing import OpenedWriteback
from writeback_pipeline.domain.story import Move
from writeback_pipeline.domain.writebacks import Writeback
from writeback_pipeline.store import journal, operators, story
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session


def opened(session: Session, id_: int) -> OpenedWriteback | None:
    """The row with that id and all its traces; None when there is none."""
    rows = writebacks_from(session.execute(f"SELECT {WRITEBACK} FROM writebacks w WHERE w.id = $1", [id_]).fetchall())
    if not rows:
        return None
    [row] = rows
    return OpenedWriteback(
        writeback=row,
        attempts=tuple(journal.attempts_of(session, [id_])),
        read_back=story.read_back_of(session, [id_]),
        actions=tuple(operators.concerning(session, id_)),
        moves=_way(session, row),
    )


def _way(session: Session, row: Writeback) -> tuple[Move, ...]:
    """The moves of the record that the platform named, up to the one that it is now."""
    way: list[Move] = []
    here = row.redirected_from or row.salesforce_id
    while here is not None and len(way) <= MAX_HOPS:
        way += story.moves_of(session, [here])
        here = next((move.to.salesforce_id for move in way[-1:] if move.person.salesforce_id == here), None)
    return tuple(way)
