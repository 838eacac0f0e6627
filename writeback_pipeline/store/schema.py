"""The tables, and the ordered migrations that lead to them. What is in the tables is the other modules' work.

A migration, once released, never changes; a new one is appended. No foreign keys, partial indexes or enum types: both
databases take the rest. Of indexes beside primary and unique keys DuckDB has those by which a claim finds few people's
rows in a long history, on columns that hardly ever change; further ones are PostgreSQL's alone. TIMESTAMP is an instant
in UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.store import counts, platform_door
from writeback_pipeline.store.dialect import POSTGRESQL
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.session import Session


class OnPostgreSQL(str):
    """A statement that only PostgreSQL needs; for DuckDB the migration counts without it."""

    __slots__ = ()


Migration = tuple[str, ...]

_QUEUE = """
CREATE TABLE writebacks (
    id BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    object_type TEXT NOT NULL,
    salesforce_id TEXT,
    subscriber_id TEXT,
    email TEXT,
    occurred_at TIMESTAMP NOT NULL,
    reason TEXT,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    delivery_key TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    flag_result TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TIMESTAMP,
    error_code TEXT,
    error_message TEXT,
    advice TEXT,
    note_id TEXT,
    task_id TEXT,
    redirected_from TEXT,
    run_id TEXT,
    created_at TIMESTAMP NOT NULL,
    written_at TIMESTAMP,
    person_id TEXT,
    revision TEXT
)
"""

_PEOPLE = """
CREATE TABLE people (
    person_id TEXT PRIMARY KEY,
    object_type TEXT NOT NULL,
    moved_to_type TEXT,
    moved_to_id TEXT,
    moved_at TIMESTAMP,
    lease_owner TEXT,
    lease_until TIMESTAMP,
    epoch BIGINT NOT NULL DEFAULT 0,
    desired_flag BOOLEAN,
    verify_after TIMESTAMP,
    verify_after_at_claim TIMESTAMP
)
"""

_ATTEMPTS = """
CREATE TABLE delivery_attempts (
    id BIGINT PRIMARY KEY,
    person_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    writeback_id BIGINT NOT NULL,
    operation TEXT NOT NULL,
    target_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    lane TEXT NOT NULL,
    call_number INTEGER NOT NULL,
    intent_at TIMESTAMP NOT NULL,
    send_deadline TIMESTAMP NOT NULL,
    payload_hash TEXT NOT NULL,
    run_id TEXT,
    flag_before BOOLEAN,
    title TEXT,
    outcome TEXT,
    answered_at TIMESTAMP,
    code TEXT,
    message TEXT,
    record_id TEXT
)
"""

_ORIGINS = """
CREATE TABLE opt_out_origins (
    id BIGINT PRIMARY KEY,
    person_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    since TIMESTAMP NOT NULL,
    flag_set BOOLEAN NOT NULL,
    writeback_id BIGINT,
    cleared_at TIMESTAMP,
    cleared_by BIGINT
)
"""

_ACTIVITY_WINDOWS = """
CREATE TABLE activity_windows (
    scope TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    occurrence TEXT NOT NULL,
    name TEXT NOT NULL,
    window_start TIMESTAMP NOT NULL,
    window_end TIMESTAMP NOT NULL,
    fingerprint TEXT NOT NULL,
    events BIGINT NOT NULL,
    summaries BIGINT NOT NULL,
    without_recipient BIGINT NOT NULL,
    delivered_at TIMESTAMP NOT NULL,
    run_id TEXT
)
"""

_SETTINGS = """
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    changed_at TIMESTAMP,
    changed_by TEXT
)
"""

_SETTINGS_HISTORY = """
CREATE TABLE settings_history (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    old_value TEXT NOT NULL,
    new_value TEXT NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    changed_by TEXT NOT NULL
)
"""

# Every setting has its row from the start: whoever sets one by SQL finds something to update.
_DEFAULT_SETTINGS = """
INSERT INTO settings (name, value) VALUES
    ('activity_enabled', 'true'),
    ('sent', 'true'),
    ('opened', 'false'),
    ('occurrence', 'daily'),
    ('frequency', 'manual'),
    ('suppress_opt_out_flag', 'false'),
    ('time_zone', 'UTC'),
    ('week_starts_on', 'monday'),
    ('platform_name', 'Informz'),
    ('note_object', 'Note'),
    ('api_budget_share', '0.5'),
    ('opt_out_reserve', '0.2'),
    ('bulk_threshold', '10000')
"""

_WATERMARKS = """
CREATE TABLE sync_watermarks (
    source TEXT PRIMARY KEY,
    changed_until TIMESTAMP NOT NULL,
    advanced_at TIMESTAMP NOT NULL
)
"""

# Flags of ours that somebody cleared in Salesforce while our opt-out stood.
_OVERRULED_CLEARS = """
CREATE TABLE overruled_clears (
    person_id TEXT NOT NULL,
    cleared_at TIMESTAMP NOT NULL,
    actor TEXT,
    noticed_at TIMESTAMP NOT NULL,
    PRIMARY KEY (person_id, cleared_at)
)
"""

# One row per person of whom an opt-out was ever known; what the platform reads to know whom it may write to.
_SUBSCRIBER_STATUS = """
CREATE VIEW subscriber_status AS
SELECT
    CASE WHEN o.person_id LIKE '00Q%' THEN 'Lead' ELSE 'Contact' END AS object_type,
    o.person_id AS salesforce_id,
    max(s.subscriber_id) AS subscriber_id,
    max(s.email) AS email,
    CASE WHEN count(CASE WHEN o.cleared_at IS NULL THEN 1 END) > 0 THEN 'opted_out' ELSE 'subscribed' END AS status,
    coalesce(
        string_agg(DISTINCT CASE WHEN o.cleared_at IS NULL THEN o.origin END, ','
            ORDER BY CASE WHEN o.cleared_at IS NULL THEN o.origin END),
        string_agg(DISTINCT o.origin, ',' ORDER BY o.origin)
    ) AS origin,
    coalesce(min(CASE WHEN o.cleared_at IS NULL THEN o.since END), max(o.cleared_at)) AS since,
    coalesce(
        min(CASE WHEN o.cleared_at IS NULL AND o.writeback_id IS NOT NULL
            THEN 'writeback ' || CAST(o.writeback_id AS TEXT) END),
        min(CASE WHEN o.cleared_at IS NULL THEN 'Email Opt Out in Salesforce, last changed by '
            || coalesce(o.actor, 'somebody') END),
        max('taken back' || coalesce(' by writeback ' || CAST(o.cleared_by AS TEXT), ' in Salesforce'))
    ) AS evidence
FROM opt_out_origins o
LEFT JOIN (
    SELECT w.person_id, max(w.subscriber_id) AS subscriber_id, max(w.email) AS email
    FROM writebacks w WHERE w.person_id IS NOT NULL GROUP BY w.person_id
) s ON s.person_id = o.person_id
GROUP BY o.person_id
"""

# `slot` is always 1: the primary key keeps the organisation the only one.
_ORGANISATION = "CREATE TABLE organisation (slot INTEGER PRIMARY KEY, organisation_id TEXT NOT NULL)"

_RESTORES = """
CREATE TABLE restores (
    found_at TIMESTAMP NOT NULL,
    in_doubt_until TIMESTAMP NOT NULL,
    marked_attempt BIGINT NOT NULL,
    held_attempt BIGINT NOT NULL,
    marked_writeback BIGINT NOT NULL,
    held_writeback BIGINT NOT NULL
)
"""

# A job's rows are the attempts with its batch and call number. `operation` is Salesforce's word.
_BULK_JOBS = """
CREATE TABLE bulk_jobs (
    job_id TEXT PRIMARY KEY,
    batch_id TEXT NOT NULL,
    call_number INTEGER NOT NULL,
    object TEXT NOT NULL,
    operation TEXT NOT NULL,
    external_id_field TEXT,
    rows INTEGER NOT NULL,
    stage TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    uploaded_at TIMESTAMP,
    ended_at TIMESTAMP,
    run_id TEXT
)
"""

_UNDOS = """
CREATE TABLE undos (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    undone_by TEXT NOT NULL,
    undone_at TIMESTAMP NOT NULL
)
"""

# What a writeback was before an undo, and what that did to it: the list shows only what is left.
_UNDONE_WRITEBACKS = """
CREATE TABLE undone_writebacks (
    undo_id TEXT NOT NULL,
    writeback_id BIGINT NOT NULL,
    undone_at TIMESTAMP NOT NULL,
    run_id TEXT,
    written_at TIMESTAMP,
    flag_result TEXT,
    note_id TEXT,
    task_id TEXT,
    told TEXT NOT NULL
)
"""

# Our own calls, by the hour in which they were made and what they were for.
_API_CALLS = """
CREATE TABLE api_calls (
    hour TIMESTAMP NOT NULL,
    purpose TEXT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (hour, purpose)
)
"""

# What the organisation last said of its daily requests; of these two tables there is one row, slot 1, from the start.
_API_LIMIT = """
CREATE TABLE api_limit (
    slot INTEGER PRIMARY KEY,
    most BIGINT,
    used BIGINT,
    heard_at TIMESTAMP
)
"""

_BREAKER = """
CREATE TABLE breaker (
    slot INTEGER PRIMARY KEY,
    failures INTEGER NOT NULL,
    open_until TIMESTAMP,
    code TEXT,
    message TEXT,
    advice TEXT,
    passing BOOLEAN,
    prober TEXT,
    probe_until TIMESTAMP
)
"""

# What people had done that leaves no other trace: retries, runs that they launched.
_OPERATOR_ACTIONS = """
CREATE TABLE operator_actions (
    id BIGINT PRIMARY KEY,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    writeback_ids BIGINT[] NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at TIMESTAMP NOT NULL
)
"""

# Which database this was when it was last used: another one has been put back, or has lost the end of its log.
_INCARNATION = "CREATE TABLE incarnation (slot INTEGER PRIMARY KEY, identity TEXT NOT NULL)"

_INDEXES = (
    "writebacks_newest ON writebacks (occurred_at DESC, id DESC)",
    "writebacks_newest_by_status ON writebacks (status, occurred_at DESC, id DESC)",
    "writebacks_open ON writebacks (person_id) WHERE status IN ('pending', 'sending', 'waiting', 'unknown')",
    "writebacks_person ON writebacks (person_id)",
    "writebacks_salesforce_id ON writebacks (salesforce_id)",
    "writebacks_redirected_from ON writebacks (redirected_from) WHERE redirected_from IS NOT NULL",
    "writebacks_subscriber ON writebacks (subscriber_id) WHERE subscriber_id IS NOT NULL",
    "writebacks_email ON writebacks (lower(email)) WHERE email IS NOT NULL",
    "writebacks_run ON writebacks (run_id) WHERE run_id IS NOT NULL",
    "writebacks_written ON writebacks (written_at) WHERE written_at IS NOT NULL",
    "attempts_writeback ON delivery_attempts (writeback_id)",
    "attempts_person ON delivery_attempts (person_id, epoch)",
    "attempts_batch ON delivery_attempts (batch_id, call_number)",
    "attempts_run ON delivery_attempts (run_id) WHERE run_id IS NOT NULL",
    "attempts_unanswered ON delivery_attempts (person_id) WHERE outcome IS NULL",
    "people_to_verify ON people (verify_after) WHERE verify_after IS NOT NULL",
    "people_moved ON people (moved_to_id) WHERE moved_to_id IS NOT NULL",
    "origins_person ON opt_out_origins (person_id)",
    "origins_writeback ON opt_out_origins (writeback_id) WHERE writeback_id IS NOT NULL",
    "origins_cleared_by ON opt_out_origins (cleared_by) WHERE cleared_by IS NOT NULL",
)

# When what ticks has ticked last, and by when it has to tick again.
_HEARTBEATS = """
CREATE TABLE heartbeats (
    name TEXT PRIMARY KEY,
    beat_at TIMESTAMP NOT NULL,
    due_by TIMESTAMP NOT NULL
)
"""

_INCIDENTS = """
CREATE TABLE incidents (
    id BIGINT PRIMARY KEY,
    key TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    words TEXT NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    last_seen TIMESTAMP NOT NULL,
    closed_at TIMESTAMP
)
"""

# What each channel knows of each incident: `told` is the worst severity it was told, or `over`.
_NOTICES = """
CREATE TABLE notices (
    incident_id BIGINT NOT NULL,
    channel TEXT NOT NULL,
    told TEXT,
    told_at TIMESTAMP,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before TIMESTAMP,
    trouble TEXT,
    PRIMARY KEY (incident_id, channel)
)
"""

# Of this one there is one row, slot 1: whoever enters incidents or takes notices updates it first, so they queue up.
_ALERTING = "CREATE TABLE alerting (slot INTEGER PRIMARY KEY, entered_at TIMESTAMP)"

# Where the ledger of this database went, or came from.
_MOVES = """
CREATE TABLE moves (
    move_id TEXT PRIMARY KEY,
    direction TEXT NOT NULL,
    place TEXT NOT NULL,
    begun_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP
)
"""

# What erased names and delivery keys are known again by: hashes with a salt of this ledger's own. One row, slot 1.
_ERASURE_SALT = "CREATE TABLE erasure_salt (slot INTEGER PRIMARY KEY, salt TEXT NOT NULL)"

_ERASED_NAMES = """
CREATE TABLE erased_names (
    name_hash TEXT NOT NULL,
    person_id TEXT NOT NULL,
    erased_at TIMESTAMP NOT NULL,
    PRIMARY KEY (name_hash, person_id)
)
"""

_IS_OPEN = "(status IN ('pending', 'sending', 'waiting', 'unknown'))"
_SETTLED_WHILE_OPEN = f"UPDATE writebacks SET settled_at = NULL WHERE settled_at IS NOT NULL AND {_IS_OPEN}"
_OPEN_WHILE_SETTLED = f"""
UPDATE writebacks SET settled_at = coalesce(written_at, (
    SELECT max(coalesce(a.answered_at, a.intent_at)) FROM delivery_attempts a WHERE a.writeback_id = writebacks.id
), created_at) WHERE settled_at IS NULL AND NOT {_IS_OPEN}
"""

MIGRATIONS: tuple[Migration, ...] = (
    (
        "CREATE SEQUENCE writeback_ids",
        "CREATE SEQUENCE attempt_ids",
        "CREATE SEQUENCE origin_ids",
        "CREATE SEQUENCE settings_history_ids",
        _QUEUE,
        _PEOPLE,
        _ATTEMPTS,
        _ORIGINS,
        _ACTIVITY_WINDOWS,
        _SETTINGS,
        _SETTINGS_HISTORY,
        _DEFAULT_SETTINGS,
        _WATERMARKS,
        _ORGANISATION,
    ),
    ("INSERT INTO settings (name, value) VALUES ('key_records', 'false')",),
    (_RESTORES,),
    (_UNDOS,),
    (
        "ALTER TABLE activity_windows ADD COLUMN events_in_rows BIGINT",
        "ALTER TABLE activity_windows ADD COLUMN withdrawn BIGINT",
        "UPDATE activity_windows SET events_in_rows = events, withdrawn = 0",
    ),
    ("ALTER TABLE delivery_attempts ADD COLUMN read_back_at TIMESTAMP",),
    ("ALTER TABLE opt_out_origins ADD COLUMN actor TEXT", _SUBSCRIBER_STATUS),
    (_BULK_JOBS, "ALTER TABLE delivery_attempts ADD COLUMN revision TEXT"),
    ("INSERT INTO settings (name, value) VALUES ('audit_sample', '0')",),
    (_OVERRULED_CLEARS,),
    ("ALTER TABLE opt_out_origins ADD COLUMN unseen BOOLEAN DEFAULT FALSE",),
    (
        "ALTER TABLE sync_watermarks ADD COLUMN settled_until TIMESTAMP",
        "ALTER TABLE sync_watermarks ADD COLUMN settled_at TIMESTAMP",
    ),
    (
        _API_CALLS,
        _API_LIMIT,
        "INSERT INTO api_limit (slot) VALUES (1)",
        _BREAKER,
        "INSERT INTO breaker (slot, failures) VALUES (1, 0)",
    ),
    ("INSERT INTO settings (name, value) VALUES ('concurrent_calls', '4')",),
    ("CREATE SEQUENCE operator_action_ids", _OPERATOR_ACTIONS),
    (_INCARNATION, *(OnPostgreSQL(f"CREATE INDEX {index}") for index in _INDEXES)),
    (
        "CREATE SEQUENCE incident_ids",
        _HEARTBEATS,
        _INCIDENTS,
        _NOTICES,
        _ALERTING,
        "INSERT INTO alerting (slot) VALUES (1)",
    ),
    (_UNDONE_WRITEBACKS, "ALTER TABLE writebacks ADD COLUMN settled_at TIMESTAMP"),
    (
        "ALTER TABLE writebacks ADD COLUMN flag_left BOOLEAN DEFAULT FALSE",
        "UPDATE writebacks SET flag_left = TRUE WHERE kind = 'unsubscribe' AND flag_result = 'suppressed'",
    ),
    (_MOVES, OnPostgreSQL("CREATE INDEX writebacks_flag_left ON writebacks (person_id) WHERE flag_left")),
    tuple(map(OnPostgreSQL, platform_door.STATEMENTS)),
    (
        "ALTER TABLE people ADD COLUMN unreturned INTEGER DEFAULT 0",
        OnPostgreSQL("CREATE INDEX people_suspect ON people (unreturned) WHERE unreturned > 1"),
    ),
    (_ERASURE_SALT, _ERASED_NAMES, OnPostgreSQL(platform_door.KNOWING_WHAT_WAS_ERASED)),
    (OnPostgreSQL("CREATE INDEX writebacks_note ON writebacks (note_id) WHERE note_id IS NOT NULL"),),
    (
        OnPostgreSQL(platform_door.TRIGGER_FOR_ANY_SNAPSHOT),
        OnPostgreSQL("CREATE INDEX writebacks_created ON writebacks (created_at)"),
        # Equal entries share their place in it, and it answers by itself where vacuum has been: so that comes often.
        OnPostgreSQL("CREATE INDEX writebacks_counted ON writebacks (kind, object_type, status, error_code)"),
        OnPostgreSQL(
            "ALTER TABLE writebacks SET (autovacuum_vacuum_scale_factor = 0.02, "
            "autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
        ),
    ),
    (OnPostgreSQL(platform_door.TAKING_ANY_UNSUBSCRIBE),),
    ("ALTER TABLE bulk_jobs ADD COLUMN taken_over INTEGER DEFAULT 0",),
    (
        # What somebody's rows are is asked of few people among all who ever had any. PostgreSQL has these.
        "CREATE INDEX IF NOT EXISTS writebacks_person ON writebacks (person_id)",
        "CREATE INDEX IF NOT EXISTS origins_person ON opt_out_origins (person_id)",
        _SETTLED_WHILE_OPEN,
        _OPEN_WHILE_SETTLED,
        OnPostgreSQL(
            f"ALTER TABLE writebacks ADD CONSTRAINT open_or_settled CHECK ((settled_at IS NULL) = {_IS_OPEN})"
        ),
        *map(OnPostgreSQL, counts.KEPT),
        OnPostgreSQL("DROP INDEX writebacks_counted"),
    ),
    (OnPostgreSQL(platform_door.REFUSING_KEYS_OF_OTHERS),),
    (
        # All that the list tells of what is in trouble, so that its rows are not read for it.
        OnPostgreSQL(
            "CREATE INDEX writebacks_troubled ON writebacks (status, error_code, kind) "
            "INCLUDE (id, occurred_at, next_attempt_at) WHERE status IN ('failed', 'waiting', 'unknown')"
        ),
    ),
)


_STATEMENTS = tuple(statement for migration in MIGRATIONS for statement in migration)
SEQUENCES = tuple(each.removeprefix("CREATE SEQUENCE ") for each in _STATEMENTS if each.startswith("CREATE SEQUENCE "))
FILLED_FROM_THE_START = {each.split()[2] for each in _STATEMENTS if each.strip().startswith("INSERT INTO ")}
"""Tables that a new database has rows in."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a ledger went, and when all of it was there; None while it is on its way."""

    move_id: str
    place: str
    ended_at: datetime | None


def departure(session: Session) -> Departure | None:
    """Where the ledger of this database went; None while it is here."""
    rows = session.execute("SELECT move_id, place, ended_at FROM moves WHERE direction = 'to'").fetchall()
    return Departure(*rows[0]) if rows else None


def refuse_departed(name: str, session: Session) -> None:
    """Raises StoreUnusable where the ledger is no longer here: nothing is written to what nobody delivers from."""
    gone = departure(session)
    if gone is not None:
        words = "was moved" if gone.ended_at else "is being moved"
        further = "Set WRITEBACK_DATABASE to that" if gone.ended_at else "Run writebacks move again, which goes on"
        raise StoreUnusable(f"{name} {words} to {gone.place} and can only be read. {further}; nothing was changed.")


def outdate_older_snapshots(session: Session) -> None:
    """Let no transaction of a platform queue anything that may not have seen what this one has to tell it."""
    session.execute("UPDATE schema_version SET applied_at = applied_at WHERE version = 1")


def version(session: Session) -> int:
    """How many migrations the database has seen; fails where there is no table of versions."""
    [(found,)] = session.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()
    return int(found)


def missing(name: str, done: int, migrations: Sequence[Migration]) -> int:
    """How many migrations a database lacks that has seen `done`; refuses one that a newer release has migrated."""
    if done > len(migrations):
        raise StoreUnusable(
            f"{name} has schema version {done}, this release knows {len(migrations)}: a newer release has used it. "
            "Install that release or a later one; nothing was changed."
        )
    return len(migrations) - done


def migrate(session: Session, done: int, migrations: Sequence[Migration]) -> None:
    """Apply the migrations after the first `done`; the caller's transaction makes it all or nothing."""
    session.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at TIMESTAMP NOT NULL)"
    )
    for number, statements in enumerate(migrations[done:], done + 1):
        for statement in statements:
            if session.dialect is POSTGRESQL or not isinstance(statement, OnPostgreSQL):
                session.execute(statement)
        session.execute("INSERT INTO schema_version VALUES ($1, current_timestamp)", [number])


def next_ids(session: Session, sequence: str, count: int) -> list[int]:
    """That many new ids, ascending."""
    rows = session.execute(f"SELECT nextval('{sequence}') FROM generate_series(1, $1)", [count]).fetchall()
    return sorted(id_ for (id_,) in rows)


def pass_over(session: Session, sequence: str, count: int) -> None:
    """Give that many ids to nothing; there may be more of them than fit into memory."""
    session.execute(f"SELECT max(nextval('{sequence}')) FROM generate_series(1, $1)", [count]).fetchall()
