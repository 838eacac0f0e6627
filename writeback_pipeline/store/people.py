"""The people that rows belong to: one row each, made when the person is first heard of.

Their row is also what a transaction that goes on beside others holds on to. Leases are `claims`' work, where a person
went `redirects`'.
"""

from collections.abc import Collection, Iterable, Mapping

from writeback_pipeline.store.session import Session, as_columns, unnested

WINDOW = "Window"
"""What stands in place of an object type in the row of a window of activity, which is leased like a person."""

EPOCHS_PER_RESTORE = 1_000_000
"""How far epochs jump when a restore is noticed: past every lease that the lost part may have given away."""

FIRST_EPOCH = f"(SELECT count(*) FROM restores) * {EPOCHS_PER_RESTORE}"


def hold(session: Session, people: Iterable[str], attempts: Collection[int] = ()) -> None:
    """Let no other transaction act for these people, or windows, and those of these attempts, until this one ends.

    Once in a transaction that shares the ledger, before it reads what it decides on. All take them in the order of
    their ids, so that no two wait for each other.
    """
    if session.dialect.locks_rows:
        session.execute(
            "SELECT 1 FROM people p WHERE p.person_id IN (SELECT unnest($1::TEXT[]) UNION ALL "
            "SELECT a.person_id FROM delivery_attempts a WHERE a.id IN (SELECT unnest($2::BIGINT[]))) "
            "ORDER BY p.person_id FOR UPDATE",
            [list(people), list(attempts)],
        )


def add_people(session: Session, people: Mapping[str, str]) -> None:
    """Make the rows of those, object types by person id, who have none yet."""
    values: list[object] = []
    theirs = session.among("p.person_id", "TEXT", list(people), values)
    known = {
        person for (person,) in session.execute(f"SELECT p.person_id FROM people p WHERE {theirs}", values).fetchall()
    }
    session.execute(
        "INSERT INTO people (person_id, object_type, epoch) "
        f"SELECT n.person_id, n.object_type, {FIRST_EPOCH} "
        f"FROM ({unnested({'person_id': 'TEXT', 'object_type': 'TEXT'})}) n" + session.dialect.unless_known,
        # In one order, as `hold` says.
        as_columns(sorted((person, type_) for person, type_ in people.items() if person not in known), 2),
    )
