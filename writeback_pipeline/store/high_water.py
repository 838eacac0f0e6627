"""The high-water mark: what was last queued and journalled, kept where no restore of the database reaches it.

A database that holds less than the mark says is a backup that was put back, or has lost the end of its log; so is one
that remembers another server or timeline than it is on. What it calls owed may have been written since, so all of it is
read back before anything is sent.
"""

import fcntl
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from writeback_pipeline.domain.ledger import LEASE, QUIET, Intent
from writeback_pipeline.domain.writebacks import utc_text
from writeback_pipeline.store.errors import StoreUnusable, unusable
from writeback_pipeline.store.people import EPOCHS_PER_RESTORE, WINDOW
from writeback_pipeline.store.schema import outdate_older_snapshots, pass_over
from writeback_pipeline.store.session import Session, in_utc

_LENGTH = 160
"""Bytes of the file. It is written over in place, within one sector, so that a full disk does not stop it."""

_MOST_LOST = 1_000_000
"""How many ids are passed over where nobody can tell how many were given away."""

_NEVER = datetime(1, 1, 1, tzinfo=UTC)

_ADVICE = (
    "The database was put back to an earlier state, so this may have been written since. What Salesforce holds is read "
    "back before anything is sent."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """The last ids that were committed; what was sent may still arrive until `in_doubt_until`."""

    attempt_id: int = 0
    writeback_id: int = 0
    in_doubt_until: datetime = _NEVER


@dataclass(frozen=True, slots=True)
class Restore:
    """When a restore was noticed, and until when what was sent before it may still arrive."""

    found_at: datetime
    in_doubt_until: datetime


class MarkFile:
    """The mark of one database, in that file. Raises StoreUnusable where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Mark:
        """The mark; nothing yet where there is no file."""
        try:
            return self._parsed(self._path.read_bytes())
        except FileNotFoundError:
            return Mark()
        except OSError as error:
            raise unusable(self._path, error) from error

    def raise_to(self, mark: Mark) -> None:
        """Raise what is lower than `mark`; on disk when this returns."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self._path.exists()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                now = self._parsed(os.pread(descriptor, _LENGTH, 0))
                os.pwrite(descriptor, _text(_highest(now, mark)), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                _sync_folder(self._path.parent)
        except OSError as error:
            raise unusable(self._path, error) from error

    def _parsed(self, text: bytes) -> Mark:
        if not text.strip():
            return Mark()  # made, but nothing was sent before it was written
        try:
            values = json.loads(text)
            until = datetime.fromisoformat(values["in_doubt_until"])
            return Mark(int(values["attempt_id"]), int(values["writeback_id"]), until)
        except (ValueError, TypeError, KeyError):
            raise StoreUnusable(
                f"{self._path} is damaged, so nobody can tell whether the database beside it is the last one. Nothing "
                "was changed. If you are sure of the database, remove this file; otherwise ask for a read-back: write "
                f"{_text(Mark(attempt_id=10**8)).decode().strip()} into it."
            ) from None


def mark_of(intents: Sequence[Intent], attempt_ids: Sequence[int | None]) -> Mark:
    """The mark of what was journalled just now."""
    entered = [(id_, intent.send_deadline) for intent, id_ in zip(intents, attempt_ids, strict=True) if id_ is not None]
    if not entered:
        return Mark()
    ids, deadlines = zip(*entered, strict=True)
    return Mark(attempt_id=max(ids), in_doubt_until=max(deadlines) + QUIET)


def queued(session: Session) -> Mark:
    """The mark of everything that is queued now."""
    # For the greatest of them DuckDB would read them all in a transaction that has just queued some.
    rows = session.execute("SELECT w.id FROM writebacks w ORDER BY w.id DESC LIMIT 1").fetchall()
    return Mark(writeback_id=rows[0][0]) if rows else Mark()


def is_behind(session: Session, mark: Mark) -> bool:
    """Whether the database holds less than its mark, or is not the one that was used last."""
    return not _holds(held_by(session), mark) or _was_replaced(session)


def notice_restore(session: Session, mark: Mark, now: datetime) -> None:
    """Where the database is behind, put all that is owed to `unknown` and say so."""
    held = held_by(session)
    if _was_replaced(session):
        # Other machines may have gone on for longer than this one's mark knows.
        lost = Mark(held.attempt_id + _MOST_LOST, held.writeback_id + _MOST_LOST, now + LEASE + QUIET)
        mark = _highest(mark, lost)
        session.execute(f"UPDATE incarnation SET identity = {session.dialect.incarnation}")
    elif _holds(held, mark):
        return
    until = max(now, mark.in_doubt_until)
    session.execute(
        "INSERT INTO restores (found_at, in_doubt_until, marked_attempt, held_attempt, marked_writeback, "
        "held_writeback) VALUES ($1::TIMESTAMP, $2::TIMESTAMP, $3, $4, $5, $6)",
        [now, until, mark.attempt_id, held.attempt_id, mark.writeback_id, held.writeback_id],
    )
    outdate_older_snapshots(session)
    for sequence, missing in (
        ("attempt_ids", mark.attempt_id - held.attempt_id),
        ("writeback_ids", mark.writeback_id - held.writeback_id),
    ):
        if missing > 0:  # an id that was given away once is not given to anything else
            pass_over(session, sequence, missing)
    session.execute(
        "UPDATE people SET epoch = epoch + $1, lease_owner = NULL, lease_until = NULL, "
        "verify_after = CASE WHEN object_type <> $3 THEN greatest(verify_after, $2::TIMESTAMP) END",
        [EPOCHS_PER_RESTORE, until, WINDOW],
    )
    session.execute(
        "UPDATE writebacks SET status = 'unknown', settled_at = NULL, next_attempt_at = $1::TIMESTAMP, "
        "error_code = 'RESTORED', error_message = NULL, advice = $2 WHERE salesforce_id IS NOT NULL "
        "AND status IN ('pending', 'sending', 'waiting', 'unknown', 'failed') "
        "AND NOT (status = 'failed' AND coalesce(error_code, '') IN ('UNDONE', 'NOTE_UNDONE', 'UNDO_INCOMPLETE'))",
        [until, _ADVICE],
    )
    [(doubted,)] = session.execute("SELECT count(*) FROM writebacks WHERE status = 'unknown'").fetchall()
    _log.warning(
        "The database is older than its high-water mark (attempt %d of %d, writeback %d of %d): a backup was put back, "
        "or the end of its log was lost. %d owed writebacks are read back from %s on before anything is sent. Changes "
        "that were queued since then are gone: queue them again from the platform, what was written is found.",
        held.attempt_id, mark.attempt_id, held.writeback_id, mark.writeback_id, doubted, utc_text(until),
    )  # fmt: skip


def _holds(held: Mark, mark: Mark) -> bool:
    return held.attempt_id >= mark.attempt_id and held.writeback_id >= mark.writeback_id


def _was_replaced(session: Session) -> bool:
    """Whether this is another database than the one that was used last, with the same rows."""
    known = session.execute(f"SELECT i.identity = {session.dialect.incarnation} FROM incarnation i").fetchall()
    if not known:
        session.execute(
            f"INSERT INTO incarnation (slot, identity) VALUES (1, {session.dialect.incarnation})"
            + session.dialect.unless_known
        )
    return known == [(False,)]


def last_restore(session: Session) -> Restore | None:
    """The last restore that was noticed."""
    [(found_at, until)] = session.execute("SELECT max(found_at), max(in_doubt_until) FROM restores").fetchall()
    return None if found_at is None else Restore(in_utc(found_at), in_utc(until))


def held_by(session: Session) -> Mark:
    """What the database has; what is known to be lost counts as held."""
    [(attempt, writeback)] = session.execute(
        "SELECT coalesce(greatest((SELECT max(id) FROM delivery_attempts), max(marked_attempt)), 0), "
        "coalesce(greatest((SELECT max(id) FROM writebacks), max(marked_writeback)), 0) FROM restores"
    ).fetchall()
    return Mark(attempt, writeback)


def _highest(one: Mark, other: Mark) -> Mark:
    return replace(
        one,
        attempt_id=max(one.attempt_id, other.attempt_id),
        writeback_id=max(one.writeback_id, other.writeback_id),
        in_doubt_until=max(one.in_doubt_until, other.in_doubt_until),
    )


def _text(mark: Mark) -> bytes:
    values = {
        "attempt_id": mark.attempt_id,
        "writeback_id": mark.writeback_id,
        "in_doubt_until": mark.in_doubt_until.isoformat(),
    }
    return json.dumps(values).ljust(_LENGTH - 1).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
