"""What people do in the organisation: conversions, merges, deletions, and the traces they leave for the API."""

import pytest

from writeback_pipeline.local_org import admin
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline_tests.local_org.support import Api, Org, error


def contact(api: Api, name: str = "Ng", **values: object) -> str:
    return api.create("Contact", LastName=name, **values)


def test_an_edit_by_a_person_is_told_apart_from_one_by_the_api(api: Api, org: Org) -> None:
    edited = contact(api)
    org.clock.now += 60
    admin.edit(org.administrator(), edited, {"HasOptedOutOfEmail": True})
    shown = api.read("Contact", edited)
    users = {row["Id"]: row["Username"] for row in api.query("SELECT Id, Username FROM User")}
    assert users[shown["LastModifiedById"]] == "admin@local.example"
    assert users[shown["CreatedById"]] == "local@local.example"
    assert shown["LastModifiedDate"] > shown["CreatedDate"]
    assert shown["HasOptedOutOfEmail"] is True


def test_a_converted_lead_stays_and_points_to_the_new_contact(api: Api, org: Org) -> None:
    lead = api.create("Lead", LastName="Lim", FirstName="Li", Company="Bolt", Email="li@example.org", City="Bern",
                      HasOptedOutOfEmail=True)  # fmt: skip
    note, task = api.create("Note", ParentId=lead, Title="t"), api.create("Task", WhoId=lead)
    became = admin.convert_lead(org.administrator(), lead)
    shown = api.read("Lead", lead)
    assert (shown["IsConverted"], shown["IsDeleted"], shown["ConvertedContactId"]) == (True, False, became)
    assert shown["ConvertedDate"] == shown["LastModifiedDate"][:10]
    person = api.read("Contact", became)
    assert (person["Name"], person["Email"], person["MailingCity"]) == ("Li Lim", "li@example.org", "Bern")
    assert person["HasOptedOutOfEmail"] is True
    assert api.read("Account", person["AccountId"])["Name"] == "Bolt"
    assert api.read("Note", note)["ParentId"] == api.read("Task", task)["WhoId"] == became
    assert len(api.query("SELECT Id FROM Lead WHERE Email = 'li@example.org'")) == 1


def test_conversion_into_an_existing_contact_may_lose_the_opt_out(api: Api, org: Org) -> None:
    existing = contact(api, FirstName="Kept", Email=None)
    lead = api.create("Lead", LastName="Lim", FirstName="Li", Company="x", Email="li2@example.org",
                      HasOptedOutOfEmail=True)  # fmt: skip
    assert admin.convert_lead(org.administrator(), lead, existing) == existing
    shown = api.read("Contact", existing)
    assert (shown["FirstName"], shown["Email"], shown["HasOptedOutOfEmail"]) == ("Kept", "li2@example.org", False)


def test_a_converted_lead_refuses_changes_but_not_deletion(api: Api, org: Org) -> None:
    lead = api.create("Lead", LastName="Lim", Company="x")
    admin.convert_lead(org.administrator(), lead)
    refused = api.patch(f"sobjects/Lead/{lead}", {"HasOptedOutOfEmail": True})
    assert refused.status_code == 400
    assert refused.json() == [
        {"message": "cannot reference converted lead", "errorCode": "CANNOT_UPDATE_CONVERTED_LEAD", "fields": []}
    ]
    with pytest.raises(ApiError, match="converted lead"):
        admin.convert_lead(org.administrator(), lead)
    assert api.delete(f"sobjects/Lead/{lead}").status_code == 204


def test_a_merge_hands_everything_to_the_winner(api: Api, org: Org) -> None:
    winner, loser, third = (contact(api, name) for name in ("Winner", "Loser", "Third"))
    note, task = api.create("Note", ParentId=loser, Title="t"), api.create("Task", WhoId=third)
    admin.merge(org.administrator(), winner, [loser, third], {"HasOptedOutOfEmail": True})
    assert api.read("Note", note)["ParentId"] == api.read("Task", task)["WhoId"] == winner
    assert api.read("Contact", winner)["HasOptedOutOfEmail"] is True
    found = api.query(
        f"SELECT Id, IsDeleted, MasterRecordId FROM Contact WHERE Id IN ('{loser}', '{third}')", "queryAll"
    )
    assert [(each["IsDeleted"], each["MasterRecordId"]) for each in found] == [(True, winner)] * 2
    assert error(api.patch(f"sobjects/Contact/{loser}", {})) == (404, "ENTITY_IS_DELETED")


def test_a_winner_can_lose_the_next_merge(api: Api, org: Org) -> None:
    first, second, third = (contact(api, name) for name in ("First", "Second", "Third"))
    admin.merge(org.administrator(), second, [first])
    admin.merge(org.administrator(), third, [second])
    soql = f"SELECT MasterRecordId FROM Contact WHERE Id IN ('{first}', '{second}') ORDER BY Id"
    assert [each["MasterRecordId"] for each in api.query(soql, "queryAll")] == [second, third]


def test_a_merge_that_cannot_be_is_refused_whole(api: Api, org: Org) -> None:
    winner, loser = contact(api), contact(api)
    for losers in ([], [winner], [loser, loser], [loser] * 3, [api.create("Account", Name="x")]):
        with pytest.raises(ApiError):
            admin.merge(org.administrator(), winner, losers)
    assert api.read("Contact", loser)["IsDeleted"] is False


def test_what_hangs_on_a_deleted_record_goes_and_comes_back_with_it(api: Api, org: Org) -> None:
    account = api.create("Account", Name="x")
    person = contact(api, AccountId=account)
    note, task = api.create("Note", ParentId=person, Title="t"), api.create("Task", WhoId=person)
    early = api.create("Note", ParentId=person, Title="deleted before")
    api.delete(f"sobjects/Note/{early}")
    api.delete(f"sobjects/Account/{account}")
    paths = [f"Account/{account}", f"Contact/{person}", f"Note/{note}", f"Task/{task}"]
    assert [api.get(f"sobjects/{path}").status_code for path in paths] == [404] * 4
    admin.undelete(org.administrator(), account)
    assert [api.get(f"sobjects/{path}").status_code for path in paths] == [200] * 4
    assert api.get(f"sobjects/Note/{early}").status_code == 404


def test_only_what_is_in_the_bin_can_come_back(api: Api, org: Org) -> None:
    with pytest.raises(ApiError, match="recycle bin"):
        admin.undelete(org.administrator(), contact(api))


def test_emptying_the_bin_takes_deleted_records_only(api: Api, org: Org) -> None:
    kept, gone = contact(api), contact(api)
    admin.delete(org.administrator(), gone)
    assert admin.purge(org.administrator()) >= 1
    assert api.query(f"SELECT Id FROM Contact WHERE Id = '{gone}'", "queryAll") == []
    assert api.read("Contact", kept)["Id"] == kept
    for unknown in (gone, "abc"):
        with pytest.raises(ApiError):
            admin.undelete(org.administrator(), unknown)
    with pytest.raises(ApiError):
        admin.purge(org.administrator(), "abc")


def test_a_record_of_no_known_kind_cannot_be_edited(org: Org) -> None:
    for record_id in ("abc", "zzzdM00003kS2nd"):
        with pytest.raises(ApiError):
            admin.edit(org.administrator(), record_id, {})
    with pytest.raises(ApiError):
        admin.session(org.connection, "nobody@example.org")
