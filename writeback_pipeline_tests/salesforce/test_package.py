"""The metadata that an administrator deploys: well formed, complete, and of the names that the gateway writes."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from writeback_pipeline.domain.activity import KEY_FIELD
from writeback_pipeline.domain.outcomes import PERMISSION_SET
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.planning import OPT_OUT_FIELD
from writeback_pipeline.local_org import package, records
from writeback_pipeline.local_org.fields import Field
from writeback_pipeline.local_org.schema import OBJECTS, sobject
from writeback_pipeline.local_org.settings import change, create_table, load
from writeback_pipeline.salesforce import key_records
from writeback_pipeline.salesforce.calls import API_VERSION
from writeback_pipeline.salesforce.lookup import FIELDS

PROJECT = Path(__file__).parents[2] / "salesforce_package"
SOURCE = PROJECT / "force-app" / "main" / "default"
FILES = sorted(PROJECT.rglob("*.xml"))
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
DEPLOYED_ON = {"Activity": "Task"}
"""Custom fields of tasks are made on Activity and appear on Task, where field-level security is given too."""

Facts = dict[str, str]


def root(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()


def tag(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(NAMESPACE)


def facts(element: ElementTree.Element) -> Facts:
    """The texts directly below an element, by name."""
    return {tag(child): child.text or "" for child in element}


def custom_fields() -> dict[tuple[str, str], Facts]:
    """Every custom field of the package, by object and name."""
    return {
        (path.parents[1].name, path.name.removesuffix(".field-meta.xml")): facts(root(path))
        for path in SOURCE.glob("objects/*/fields/*.field-meta.xml")
    }


def permission_set() -> dict[str, list[Facts]]:
    found: dict[str, list[Facts]] = {}
    for child in root(SOURCE / "permissionsets" / f"{PERMISSION_SET}.permissionset-meta.xml"):
        found.setdefault(tag(child), []).append(facts(child))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_metadata_with_its_elements_in_the_usual_order(path: Path) -> None:
    element = root(path)
    assert element.tag.startswith(NAMESPACE)
    names = [tag(child) for child in element if tag(child) != "fullName"]
    assert names == sorted(names)
    for description in element.iter(f"{NAMESPACE}description"):
        assert len(description.text or "") <= 255


def test_the_manifest_names_exactly_what_is_there() -> None:
    listed = {
        facts(types)["name"]: {member.text for member in types.iter(f"{NAMESPACE}members")}
        for types in root(PROJECT / "manifest" / "package.xml").iter(f"{NAMESPACE}types")
    }
    assert listed == {
        "CustomField": {f"{owner}.{name}" for owner, name in custom_fields()},
        "CustomObject": {path.parent.name for path in SOURCE.glob("objects/*/*.object-meta.xml")},
        "PermissionSet": {path.name.split(".")[0] for path in SOURCE.glob("permissionsets/*")},
    }


def test_it_is_of_the_version_that_the_gateway_speaks() -> None:
    assert facts(root(PROJECT / "manifest" / "package.xml"))["version"] == API_VERSION
    project = json.loads((PROJECT / "sfdx-project.json").read_text())
    assert project["sourceApiVersion"] == API_VERSION
    assert [PROJECT / each["path"] for each in project["packageDirectories"]] == [PROJECT / "force-app"]


def test_its_fields_are_those_that_the_gateway_writes() -> None:
    assert set(custom_fields()) == {
        ("Activity", KEY_FIELD),
        (key_records.OBJECT, key_records.KEY_FIELD),
        (key_records.OBJECT, key_records.RECORD_FIELD),
    }


@pytest.mark.parametrize(("owner", "name"), sorted(custom_fields()))
def test_a_field_is_in_the_embedded_organisation_as_it_is_in_the_package(owner: str, name: str) -> None:
    deployed = custom_fields()[owner, name]
    embedded: Field = sobject(DEPLOYED_ON.get(owner, owner)).field(name)
    assert deployed["fullName"] == embedded.name
    assert (deployed["type"], deployed["label"], int(deployed["length"])) == ("Text", embedded.label, embedded.length)
    switches = ("externalId", "unique", "required")
    assert [deployed[switch] == "true" for switch in switches] == [
        embedded.external_id,
        embedded.unique,
        embedded.required,
    ]
    assert (deployed.get("caseSensitive") == "true") is embedded.case_sensitive


def test_the_object_is_in_the_embedded_organisation_as_it_is_in_the_package() -> None:
    described = root(SOURCE / "objects" / "Writeback__c" / "Writeback__c.object-meta.xml")
    embedded = OBJECTS[key_records.OBJECT]
    told = facts(described)
    assert (told["label"], told["pluralLabel"]) == (embedded.label, embedded.label_plural)
    name_field = described.find(f"{NAMESPACE}nameField")
    assert name_field is not None
    assert facts(name_field)["label"] == embedded.field("Name").label


def test_the_permission_set_gives_the_flag_and_everything_else_that_is_written() -> None:
    given = permission_set()
    fields = {each["field"]: each["editable"] == "true" for each in given["fieldPermissions"]}
    assert all(each["readable"] == "true" for each in given["fieldPermissions"])
    assert {f"{kind}.{OPT_OUT_FIELD}" for kind in ObjectType} <= {name for name, editable in fields.items() if editable}
    assert {f"Task.{KEY_FIELD}", f"{key_records.OBJECT}.{key_records.RECORD_FIELD}"} <= fields.keys()
    looked_at = {f"{kind}.{name}" for kind, names in FIELDS.items() for name in names}
    assert {name for name in looked_at if name.endswith("AccountId")} <= fields.keys()
    objects = {each["object"]: each for each in given["objectPermissions"]}
    assert {name for name, each in objects.items() if each["allowEdit"] == "true"} == {"Contact", "Lead"}
    assert {name for name, each in objects.items() if each["allowCreate"] == "true"} == {key_records.OBJECT}
    assert {each["name"] for each in given["userPermissions"]} == {"ApiEnabled", "EditTask"}


def test_the_permission_set_gives_nothing_that_salesforce_would_refuse_or_nobody_needs() -> None:
    given = permission_set()
    for each in given["fieldPermissions"]:
        owner, name = each["field"].split(".")
        assert not sobject(owner).field(name).required, "a required field takes no field permission"
    for each in given["objectPermissions"]:
        assert each["allowRead"] == "true"
        assert {each["allowDelete"], each["modifyAllRecords"], each["viewAllRecords"]} == {"false"}
    assert "Account" in {each["object"] for each in given["objectPermissions"]}, "Contact is only given with Account"


def test_what_the_embedded_organisation_calls_the_package_is_in_it(tmp_path: Path) -> None:
    given = {each["field"] for each in permission_set()["fieldPermissions"]} | {key_records.OBJECT}
    assert given >= package.CONTENTS
    connection = records.connect(tmp_path / "org.sqlite")
    records.create_tables(connection)
    create_table(connection)
    change(connection, hidden=frozenset({"Contact.Title"}))
    package.uninstall(connection)
    assert load(connection).hidden == package.CONTENTS | {"Contact.Title"}
    package.install(connection)
    assert load(connection).hidden == {"Contact.Title"}
    connection.close()


def test_the_readme_names_what_is_deployed_and_assigned() -> None:
    text = (PROJECT / "README.md").read_text()
    for name in (PERMISSION_SET, KEY_FIELD, key_records.OBJECT, key_records.KEY_FIELD, key_records.RECORD_FIELD):
        assert name in text
    assert "manifest/package.xml" in text
