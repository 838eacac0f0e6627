"""Describe: what a client may learn about objects and their fields, field-level security applied.

Prints what `schema` says in the words of the API; the keys are those of real answers, in full, because clients index
them without asking.
"""

from __future__ import annotations

from typing import Any

from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.errors import not_found
from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.schema import OBJECTS, children_of
from writeback_pipeline.local_org.session import Session

_SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "date": "xsd:date", "datetime": "xsd:dateTime",
    "int": "xsd:int", "double": "xsd:double", "currency": "xsd:double", "base64": "xsd:base64Binary",
}  # fmt: skip
_BYTES_PER_CHARACTER = 3
_SAME_FOR_ALL_FIELDS: dict[str, Any] = {
    "aiPredictionField": False, "autoNumber": False, "calculated": False, "calculatedFormula": None,
    "cascadeDelete": False, "compoundFieldName": None, "controllerName": None, "defaultValueFormula": None,
    "dependentPicklist": False, "deprecatedAndHidden": False, "displayLocationInDecimal": False, "encrypted": False,
    "extraTypeInfo": None, "filteredLookupInfo": None, "formulaTreatNullNumberAsZero": False,
    "highScaleNumber": False, "htmlFormatted": False, "inlineHelpText": None, "mask": None, "maskType": None,
    "queryByDistance": False, "referenceTargetField": None, "relationshipOrder": None, "restrictedDelete": False,
    "scale": 0, "searchPrefilterable": False, "writeRequiresMasterRead": False,
}  # fmt: skip
_SAME_FOR_ALL_OBJECTS: dict[str, Any] = {
    "activateable": False, "associateEntityType": None, "associateParentEntity": None, "customSetting": False,
    "deepCloneable": False, "deprecatedAndHidden": False, "feedEnabled": False, "hasSubtypes": False,
    "isInterface": False, "isSubtype": False, "layoutable": True, "mruEnabled": True, "queryable": True,
    "replicateable": True, "retrieveable": True, "searchable": True, "triggerable": True,
}  # fmt: skip
_ONLY_IN_FULL: dict[str, Any] = {
    "actionOverrides": [], "compactLayoutable": True, "defaultImplementation": None, "extendedBy": None,
    "extendsInterfaces": None, "implementedBy": None, "implementsInterfaces": None, "listviewable": None,
    "lookupLayoutable": None, "namedLayoutInfos": [], "networkScopeFieldName": None, "recordTypeInfos": [],
    "searchLayoutable": True, "sobjectDescribeOption": "FULL", "supportedScopes": [],
}  # fmt: skip


def _all(session: Session, request: Request) -> Response:
    shown = [described for name in OBJECTS if (described := _visible(session, name))]
    listed = [_summary(described, request) for described in sorted(shown, key=lambda each: each.name)]
    return Response(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})


def basic_information(session: Session, request: Request) -> Response:
    """The object in short, and its records changed last."""
    described = named(session, request)
    names = ["Id", *(f.name for f in described.fields if f.name_field)]
    order = "LastModifiedDate" if described.has("LastModifiedDate") else "SystemModstamp"
    alive = "WHERE IsDeleted = 0" if described.has("IsDeleted") else ""
    rows = session.connection.execute(
        f"SELECT {', '.join(names)} FROM {described.name} {alive} ORDER BY {order} DESC LIMIT 20"
    )
    recent = [
        {"attributes": {"type": described.name, "url": f"{_url(described, request)}/{row['Id']}"}, **dict(row)}
        for row in rows
    ]
    return Response(200, {"objectDescribe": _summary(described, request), "recentItems": recent})


def _full(session: Session, request: Request) -> Response:
    described = named(session, request)
    children: list[dict[str, Any]] = [
        {
            "cascadeDelete": f.cascade, "childSObject": child.name, "deprecatedAndHidden": False, "field": f.name,
            "junctionIdListNames": [], "junctionReferenceTo": [], "relationshipName": f.child_relationship,
            "restrictedDelete": False,
        }
        for child, f in children_of(described.name)
        if _visible(session, child.name)
    ]  # fmt: skip
    return Response(
        200,
        {
            **_ONLY_IN_FULL,
            "childRelationships": children,
            "fields": [_field(f) for f in described.fields],
            **_summary(described, request),
        },
    )


def named(session: Session, request: Request) -> SObject:
    """The object named in the path, as the session sees it; 404 when there is none."""
    described = _visible(session, request.params["sobject"])
    if described is None:
        raise not_found()
    return described


def _visible(session: Session, name: str) -> SObject | None:
    try:
        return session.visible(name)
    except KeyError:
        return None


def _url(described: SObject, request: Request) -> str:
    return f"{request.root}/sobjects/{described.name}"


def _summary(described: SObject, request: Request) -> dict[str, Any]:
    url = _url(described, request)
    return {
        **_SAME_FOR_ALL_OBJECTS,
        "createable": "create" in described.allows,
        "custom": described.name.endswith("__c"),
        "deletable": "delete" in described.allows,
        "keyPrefix": described.key_prefix,
        "label": described.label,
        "labelPlural": described.label_plural,
        "mergeable": described.mergeable,
        "name": described.name,
        "undeletable": "delete" in described.allows,
        "updateable": "update" in described.allows,
        "urls": {"describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}", "sobject": url},
    }


def _field(f: Field) -> dict[str, Any]:
    countable = f.filterable and f.type not in ("boolean", "date")
    return {
        **_SAME_FOR_ALL_FIELDS,
        "aggregatable": countable,
        "byteLength": f.length if f.type in ("id", "reference") else f.length * _BYTES_PER_CHARACTER,
        "caseSensitive": f.case_sensitive,
        "createable": f.createable,
        "custom": f.name.endswith("__c"),
        "defaultValue": f.default,
        "defaultedOnCreate": not f.nillable and not f.required,
        "digits": 8 if f.type == "int" else 0,
        "externalId": f.external_id,
        "filterable": f.filterable,
        "groupable": f.filterable and f.type not in ("datetime", "double", "currency"),
        "idLookup": f.id_lookup,
        "label": f.label,
        "length": f.length,
        "name": f.name,
        "nameField": f.name_field,
        "namePointing": f.polymorphic,
        "nillable": f.nillable,
        "permissionable": f.nillable and (f.createable or f.updateable),
        "picklistValues": [
            {"active": True, "defaultValue": value == f.default, "label": value, "validFor": None, "value": value}
            for value in f.picklist_values
        ],
        "polymorphicForeignKey": f.polymorphic,
        "precision": 18 if f.type in ("double", "currency") else 0,
        "referenceTo": list(f.reference_to),
        "relationshipName": f.relationship_name,
        "restrictedPicklist": f.restricted,
        "soapType": _SOAP_TYPES.get(f.type, "xsd:string"),
        "sortable": f.filterable,
        "type": f.type,
        "unique": f.unique,
        "updateable": f.updateable,
    }  # fmt: skip


ROUTES = [
    Route("sobjects", {"GET": _all}),
    Route("sobjects/{sobject}/describe", {"GET": _full}),
]
