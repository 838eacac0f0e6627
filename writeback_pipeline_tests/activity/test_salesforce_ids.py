"""The rules of record ids in SQL are those of the domain."""

import random

import duckdb
import pytest

from writeback_pipeline.activity.salesforce_ids import is_person_sql, normal_id_sql
from writeback_pipeline.domain.people import KEY_PREFIXES, InvalidSalesforceId, id_suffix, normalise_id, object_type_of

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def invented_ids() -> list[str]:
    """Ids of all sorts: in both forms, padded, with another suffix or another letter, of other objects, and none."""
    chance = random.Random(1)

    def letters(number: int) -> str:
        return "".join(chance.choice(LETTERS) for _ in range(number))

    ids = ["", " ", "003", "00Q" + "\u00e9" * 12, "003" + "🚀" * 12, "003wb000000CaR6AAK\n", "\t003wb000000CaR6"]
    for _ in range(300):
        short = chance.choice(["003", "00Q", "001"]) + letters(12)
        long = short + id_suffix(short)
        ids += [
            short,
            long,
            f" {short}",
            f"{short}   ",
            f"{long} ",
            short + letters(3).upper(),
            letters(18),
            letters(14),
        ]
        ids += [long.lower(), long.upper(), f"{short[:9]}-{short[10:]}{long[15:]}", f"{short} {long[15:17]}"]
    return ids


@pytest.mark.parametrize("known", [0, 5, 400])
def test_sql_and_domain_agree_on_every_id(known: int) -> None:
    texts = invented_ids()
    beginnings = sorted({text[:10] for text in texts}, key=lambda text: (text[:3] not in KEY_PREFIXES.values(), text))
    with duckdb.connect() as database:
        database.execute("CREATE TABLE texts AS SELECT unnest($texts::VARCHAR[]) AS text", {"texts": texts})
        database.execute(f"CREATE TABLE ids AS SELECT text, {normal_id_sql('text')} AS normal FROM texts")
        rows = database.execute(
            f"SELECT text, normal, {is_person_sql('normal', beginnings[:known])} FROM ids"
        ).fetchall()
    assert len(rows) == len(texts)
    for text, normal, is_person in rows:
        try:
            expected = normalise_id(text) if text.strip(" ") == text.strip() else ""
        except InvalidSalesforceId:
            expected = ""
        assert is_person == (object_type_of(expected) is not None), text
        assert not is_person or normal == expected
    assert 1_000 < sum(is_person for _, _, is_person in rows) < 2_000
