"""The rules of record ids for many at once are those of the domain."""

import random
from collections import Counter

import duckdb
import pytest

from writeback_pipeline.activity.salesforce_ids import normal_id_sql, not_people
from writeback_pipeline.domain.people import InvalidSalesforceId, id_suffix, normalise_id, object_type_of

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


def test_many_ids_at_once_are_told_as_the_domain_tells_each() -> None:
    texts = invented_ids()
    with duckdb.connect() as database:
        database.execute("CREATE TABLE texts AS SELECT unnest($texts::VARCHAR[]) AS text", {"texts": texts})
        rows = database.execute(f"SELECT text, {normal_id_sql('text')} AS normal FROM texts").fetchall()
    assert len(rows) == len(texts)
    ids = [normal for _, normal in rows if len(normal.encode()) == 18]
    wrong = not_people("".join(ids).encode())
    people = Counter(ids) - Counter(wrong)
    assert people.total() == len(ids) - len(wrong)
    for text, normal in rows:
        try:
            expected = normalise_id(text) if text.strip(" ") == text.strip() else ""
        except InvalidSalesforceId:
            expected = ""
        assert (normal in people) == (object_type_of(expected) is not None), text
        assert normal not in people or normal == expected
    assert 1_000 < people.total() < 2_000


@pytest.mark.parametrize("place", range(18))
def test_an_id_with_any_other_byte_in_one_place_is_told(place: int) -> None:
    person = "003wb000000CaR6AAK"
    others = [person[:place] + chr(code) + person[place + 1 :] for code in range(128)]
    wrong = set(not_people("".join(others).encode()))
    for other in others:
        try:
            is_person = object_type_of(normalise_id(other) if other == other.strip() else "") is not None
        except InvalidSalesforceId:
            is_person = False
        assert (other not in wrong) == is_person, other


def test_any_number_of_ids_can_be_looked_at() -> None:
    assert not_people(b"") == []
    wrong = "003wb000000CaR6AAA"
    assert not_people(b"003wb000000CaR6AAK" * 20_000 + wrong.encode() + b"003wb000000CaR6AAK") == [wrong]
