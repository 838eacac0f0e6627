"""Where a platform queues its changes on PostgreSQL by itself: a view that takes inserts, and the rights to no more.

Its trigger does in the database what `domain.intake` and `queue` do to a file's rows, so a platform can queue a change
in the transaction in which it makes it. What cannot be a change is refused there and then.
"""

DOOR = """
CREATE VIEW opt_out_changes AS
SELECT w.kind, w.object_type, w.salesforce_id, w.occurred_at AT TIME ZONE 'UTC' AS occurred_at, w.reason,
    w.subscriber_id, w.email, w.delivery_key, w.status, w.flag_result, w.error_code, w.advice,
    w.created_at AT TIME ZONE 'UTC' AS created_at, w.written_at AT TIME ZONE 'UTC' AS written_at
FROM writebacks w WHERE w.kind IN ('unsubscribe', 'resubscribe')
"""

TRIGGER = """
CREATE FUNCTION queue_opt_out_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
AS $$
DECLARE
    doubt RECORD;
    is_doubted BOOLEAN;
    problem TEXT := CASE
        WHEN NEW.kind IS NULL OR NEW.kind NOT IN ('unsubscribe', 'resubscribe')
            THEN 'kind is unsubscribe or resubscribe'
        WHEN NEW.object_type IS NULL OR NEW.object_type NOT IN ('Contact', 'Lead')
            THEN 'object_type is Contact or Lead'
        WHEN NEW.salesforce_id !~ CASE NEW.object_type WHEN 'Lead' THEN '^00Q[A-Za-z0-9]{15}$'
            ELSE '^003[A-Za-z0-9]{15}$' END THEN 'salesforce_id is the 18 characters of that kind of record, or NULL'
        WHEN NEW.occurred_at IS NULL OR NEW.occurred_at < '1990-01-01T00:00:00Z'
            THEN 'occurred_at is when it happened'
        WHEN NEW.kind = 'resubscribe' AND NEW.occurred_at > now() + INTERVAL '2 days'
            THEN 'occurred_at of a resubscribe is not in the future'
        WHEN coalesce(NEW.delivery_key, '') = '' THEN 'delivery_key names the change, and is the same in every try'
        WHEN greatest(length(NEW.delivery_key), length(NEW.subscriber_id), length(NEW.email)) > 255
            THEN 'delivery_key, subscriber_id and email have 255 characters at most'
        WHEN concat(NEW.delivery_key, NEW.subscriber_id, NEW.email) ~ '[[:cntrl:]]'
            THEN 'delivery_key, subscriber_id and email have no control characters'
        WHEN length(NEW.reason) > 32768 THEN 'reason has 32,768 characters at most'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'not queued: %', problem USING ERRCODE = 'check_violation';
    END IF;
    LOCK TABLE schema_version IN ROW SHARE MODE;
    IF EXISTS (SELECT 1 FROM moves WHERE direction = 'to') THEN
        RAISE EXCEPTION 'not queued: the ledger was moved to another database';
    END IF;
    SELECT max(r.found_at) AS found_at, max(r.in_doubt_until) AS in_doubt_until, count(*) AS restores INTO doubt
        FROM restores r;
    is_doubted := coalesce(NEW.salesforce_id IS NOT NULL
        AND NEW.occurred_at AT TIME ZONE 'UTC' < doubt.found_at, FALSE);
    INSERT INTO people (person_id, object_type, epoch)
        SELECT NEW.salesforce_id, NEW.object_type, doubt.restores * 1000000
        WHERE NEW.salesforce_id IS NOT NULL
        ON CONFLICT DO NOTHING;
    INSERT INTO writebacks (id, kind, object_type, salesforce_id, subscriber_id, email, occurred_at, reason,
            delivery_key, status, created_at, person_id, next_attempt_at, error_code)
        VALUES (nextval('writeback_ids'), NEW.kind, NEW.object_type, NEW.salesforce_id, NEW.subscriber_id, NEW.email,
            NEW.occurred_at AT TIME ZONE 'UTC',
            regexp_replace(NEW.reason, '[\\x01-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]', chr(65533), 'g'),
            NEW.delivery_key, CASE WHEN is_doubted THEN 'unknown' ELSE 'pending' END,
            clock_timestamp() AT TIME ZONE 'UTC', NEW.salesforce_id,
            CASE WHEN is_doubted THEN doubt.in_doubt_until END, CASE WHEN is_doubted THEN 'RESTORED' END)
        ON CONFLICT DO NOTHING;
    RETURN NEW;
END
$$
"""

KNOWING_WHAT_WAS_ERASED = TRIGGER.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(
    """    SELECT max(r.found_at)""",
    """    IF EXISTS (SELECT 1 FROM writebacks w, erasure_salt s WHERE w.delivery_key =
            'erased/' || encode(sha256(convert_to(s.salt || NEW.delivery_key, 'UTF8')), 'hex')) THEN
        RETURN NEW;
    END IF;
    SELECT max(r.found_at)""",
)
"""The trigger since people can be erased: the key of a change that was queued before may be a hash, as in `erasure`."""

# A transaction that looks at one moment (REPEATABLE READ) would not see that the ledger has left since. A row that was
# changed since then, see `schema.outdate_older_snapshots`, it cannot lock: it fails, and its platform does it again.
TRIGGER_FOR_ANY_SNAPSHOT = KNOWING_WHAT_WAS_ERASED.replace(
    "LOCK TABLE schema_version IN ROW SHARE MODE;",
    "LOCK TABLE schema_version IN ROW SHARE MODE;\n    PERFORM 1 FROM schema_version WHERE version = 1 FOR SHARE;",
)

TAKING_ANY_UNSUBSCRIBE = TRIGGER_FOR_ANY_SNAPSHOT.replace(
    """        WHEN NEW.occurred_at IS NULL OR NEW.occurred_at < '1990-01-01T00:00:00Z'
            THEN 'occurred_at is when it happened'
""",
    """        WHEN NEW.occurred_at IS NULL
                OR NEW.occurred_at NOT BETWEEN '0001-01-01T00:00:00Z' AND '9999-12-31T23:59:59.999999Z'
            THEN 'occurred_at is when it happened'
        WHEN NEW.kind = 'resubscribe' AND NEW.occurred_at < '1990-01-01T00:00:00Z'
            THEN 'occurred_at of a resubscribe is not before 1990'
""",
)

_ANOTHER_CHANGE = """w.kind <> NEW.kind OR NOT EXISTS (
            WITH RECURSIVE way(id) AS (
                SELECT NEW.salesforce_id
                UNION SELECT p.moved_to_id FROM way JOIN people p ON p.person_id = way.id AND p.moved_to_id IS NOT NULL
            ) SELECT 1 FROM way WHERE way.id IN (w.salesforce_id, w.redirected_from)
                OR (way.id IS NULL AND w.salesforce_id IS NULL))"""
_REFUSED = "RAISE EXCEPTION 'not queued: delivery_key is that of another change' USING ERRCODE = 'unique_violation';"

# As `domain.keys`: what was queued under the key before, perhaps a moment ago by another session, is told apart.
REFUSING_KEYS_OF_OTHERS = TAKING_ANY_UNSUBSCRIBE.replace(
    """'hex')) THEN
        RETURN NEW;""",
    f"""'hex')) THEN
        IF EXISTS (SELECT 1 FROM writebacks w, erasure_salt s WHERE w.delivery_key =
                'erased/' || encode(sha256(convert_to(s.salt || NEW.delivery_key, 'UTF8')), 'hex')
                AND ({_ANOTHER_CHANGE})) THEN
            {_REFUSED}
        END IF;
        RETURN NEW;""",
).replace(
    """        ON CONFLICT DO NOTHING;
    RETURN NEW;""",
    f"""        ON CONFLICT DO NOTHING;
    IF NOT FOUND AND EXISTS (SELECT 1 FROM writebacks w
            WHERE w.delivery_key = NEW.delivery_key AND ({_ANOTHER_CHANGE})) THEN
        {_REFUSED}
    END IF;
    RETURN NEW;""",
)

STATEMENTS = (
    DOOR,
    TRIGGER,
    "REVOKE EXECUTE ON FUNCTION queue_opt_out_change() FROM PUBLIC",
    "CREATE TRIGGER queue_opt_out_change INSTEAD OF INSERT ON opt_out_changes "
    "FOR EACH ROW EXECUTE FUNCTION queue_opt_out_change()",
)
