"""The people that rows belong to: one row each, made when the person is first heard of.

Leases on them are `claims`' work, where a person went `redirects`'.
"""

from collections.abc import Collection

from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.store.session import Session, as_columns, unnested


def add_people(session: Session, people: Collection[PersonRef]) -> None:
    """Make the rows of those who have none yet."""
    columns = as_columns([(person.salesforce_id, person.object_type) for person in people], 2)
    # Asking first is many times faster in DuckDB than letting thousands of rows run into the conflict.
    session.execute(
        "INSERT INTO people (person_id, object_type) "
        f"SELECT n.person_id, n.object_type FROM ({unnested({'person_id': 'TEXT', 'object_type': 'TEXT'})}) n "
        "WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.person_id = n.person_id) ON CONFLICT DO NOTHING",
        columns,
    )
