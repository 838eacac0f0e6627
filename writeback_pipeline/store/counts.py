"""How many writebacks there are, by kind, object type, status and error code.

DuckDB counts them: it reads such columns of a million rows in a few hundredths of a second. PostgreSQL would take
several times as long, so there every statement that changes writebacks enters what it adds to each count and takes from
it. Entries are only ever added, so nobody waits for anybody; now and then they are summed up.
"""

from typing import Any

from writeback_pipeline.store.session import Session

_COUNTED = "kind, object_type, status, error_code"

COUNTS = "CREATE TABLE writeback_counts (kind TEXT, object_type TEXT, status TEXT, error_code TEXT, rows BIGINT)"

COUNT_ALL = f"INSERT INTO writeback_counts SELECT {_COUNTED}, count(*) FROM writebacks GROUP BY {_COUNTED}"

# Entries that somebody else is summing up are passed over. A transaction that looks at one moment would fail on them.
_KEEPING = f"""
CREATE FUNCTION count_writebacks() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO writeback_counts SELECT {_COUNTED}, count(*) FROM added GROUP BY {_COUNTED};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO writeback_counts SELECT {_COUNTED}, -count(*) FROM gone GROUP BY {_COUNTED};
    ELSE
        INSERT INTO writeback_counts SELECT {_COUNTED}, sum(n) FROM (
            SELECT {_COUNTED}, 1 AS n FROM added UNION ALL SELECT {_COUNTED}, -1 FROM gone
        ) changed GROUP BY {_COUNTED} HAVING sum(n) <> 0;
    END IF;
    IF txid_current() % 100 = 0 AND current_setting('transaction_isolation') = 'read committed' THEN
        WITH entries AS (
            DELETE FROM writeback_counts
            WHERE ctid = ANY (ARRAY(SELECT c.ctid FROM writeback_counts c FOR UPDATE SKIP LOCKED)) RETURNING *
        )
        INSERT INTO writeback_counts
            SELECT {_COUNTED}, sum(rows) FROM entries GROUP BY {_COUNTED} HAVING sum(rows) <> 0;
    END IF;
    RETURN NULL;
END
$$
"""

KEPT = (
    COUNTS,
    COUNT_ALL,
    _KEEPING,
    *(
        f"CREATE TRIGGER count_{event.lower()} AFTER {event} ON writebacks REFERENCING {tables} "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_writebacks()"
        for event, tables in (
            ("INSERT", "NEW TABLE AS added"),
            ("UPDATE", "OLD TABLE AS gone NEW TABLE AS added"),
            ("DELETE", "OLD TABLE AS gone"),
        )
    ),
)
"""What makes PostgreSQL keep the counts."""


def counted(session: Session, by: str, condition: str = "TRUE") -> list[Any]:
    """Rows of the columns in `by` and how many writebacks have those values, of those of which the condition holds.

    Both are SQL about `w`, and name no columns but those that are counted by.
    """
    if session.dialect.keeps_counts:
        how, having = "CAST(sum(w.rows) AS BIGINT) FROM writeback_counts w", " HAVING sum(w.rows) > 0"
    else:
        how, having = "count(*) FROM writebacks w", ""
    return session.execute(f"SELECT {by}, {how} WHERE {condition} GROUP BY {by}{having}").fetchall()
