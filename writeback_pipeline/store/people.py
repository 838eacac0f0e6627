"""The people that rows belong to: one row each, made when the person is first heard of.

Leases on them are `claims`' work, where a person went `redirects`'.
"""

from collections.abc import Mapping

from writeback_pipeline.store.session import Session, as_columns, unnested

EPOCHS_PER_RESTORE = 1_000_000
"""How far epochs jump when a restore is noticed: past every lease that the lost part may have given away."""

FIRST_EPOCH = f"(SELECT count(*) FROM restores) * {EPOCHS_PER_RESTORE}"


def add_people(session: Session, people: Mapping[str, str]) -> None:
    """Make the rows of those, object types by person id, who have none yet."""
    session.execute(
        "INSERT INTO people (person_id, object_type, epoch) "
        f"SELECT n.person_id, n.object_type, {FIRST_EPOCH} "
        f"FROM ({unnested({'person_id': 'TEXT', 'object_type': 'TEXT'})}) n "
        "WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.person_id = n.person_id)",
        as_columns(people.items(), 2),
    )
