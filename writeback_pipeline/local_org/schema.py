"""Which objects the embedded organisation has and which fields they carry, as one table with look-ups.

Storage reads it to make tables, DML to validate, describe to print, SOQL to resolve names. What one session may
see of it (field-level security) is decided in `security`; nothing here changes while the server runs.
"""

from __future__ import annotations

from writeback_pipeline.local_org.fields import Field, Operation, SObject, derived, flag, picklist, reference, text

_DELETED = derived("IsDeleted", "boolean", "Deleted", nillable=False)


def _id(label: str) -> Field:
    return derived("Id", "id", label, 18, nillable=False, id_lookup=True)


def _master(name: str) -> Field:
    return derived("MasterRecordId", "reference", "Master Record ID", 18, reference_to=(name,),
                   relationship_name="MasterRecord")  # fmt: skip


def _owner(*targets: str, label: str = "Owner ID") -> Field:
    return reference("OwnerId", label, *(targets or ("User",)), relation="Owner", nillable=False)


def _person_name() -> tuple[Field, ...]:
    return (
        text("LastName", "Last Name", 80, nillable=False),
        text("FirstName", "First Name", 40),
        picklist("Salutation", "Salutation", ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof."), 40),
        derived("Name", "string", "Full Name", 121, nillable=False, name_field=True),
    )


def _address(prefix: str) -> tuple[Field, ...]:
    label = f"{prefix} " if prefix else ""
    return (
        Field(f"{prefix}Street", "textarea", f"{label}Street", 255),
        text(f"{prefix}City", f"{label}City", 40),
        text(f"{prefix}State", f"{label}State/Province", 80),
        text(f"{prefix}PostalCode", f"{label}Zip/Postal Code", 20),
        text(f"{prefix}Country", f"{label}Country", 80),
    )


def _person_email(*, bounce_createable: bool) -> tuple[Field, ...]:
    return (
        Field("Email", "email", "Email", 80, id_lookup=True),
        flag("HasOptedOutOfEmail", "Email Opt Out"),
        text("EmailBouncedReason", "Email Bounced Reason", createable=bounce_createable),
        Field("EmailBouncedDate", "datetime", "Email Bounced Date", createable=bounce_createable),
    )


def _audit() -> tuple[Field, ...]:
    def user(name: str, label: str) -> Field:
        return derived(f"{name}Id", "reference", label, 18, nillable=False, reference_to=("User",),
                       relationship_name=name)  # fmt: skip

    return (
        derived("CreatedDate", "datetime", "Created Date", nillable=False),
        user("CreatedBy", "Created By ID"),
        derived("LastModifiedDate", "datetime", "Last Modified Date", nillable=False),
        user("LastModifiedBy", "Last Modified By ID"),
        derived("SystemModstamp", "datetime", "System Modstamp", nillable=False),
    )


def _long_text(name: str, label: str) -> Field:
    return Field(name, "textarea", label, 32000, filterable=False)


_PHONE, _FAX = Field("Phone", "phone", "Phone", 40), Field("Fax", "phone", "Fax", 40)
_MOBILE = Field("MobilePhone", "phone", "Mobile Phone", 40)
_LEAD_SOURCE = picklist(
    "LeadSource", "Lead Source", ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
)
_INDUSTRY = picklist(
    "Industry", "Industry",
    ("Banking", "Consulting", "Education", "Electronics", "Finance", "Government", "Healthcare", "Insurance",
     "Manufacturing", "Media", "Not For Profit", "Retail", "Technology", "Telecommunications", "Other"),
)  # fmt: skip
_REVENUE = Field("AnnualRevenue", "currency", "Annual Revenue")
_EMPLOYEES = Field("NumberOfEmployees", "int", "Employees")
_RECENT = (("SystemModstamp",),)
_READ_ONLY: frozenset[Operation] = frozenset()
_NO_UPSERT: frozenset[Operation] = frozenset({"create", "update", "delete"})

_ALL = (
    SObject("Organization", "Organization", "Organizations", "00D", (
        _id("Organization ID"),
        derived("Name", "string", "Name", 80, nillable=False, name_field=True),
        derived("Country", "string", "Country", 80),
        derived("LanguageLocaleKey", "string", "Language", 40),
        derived("TimeZoneSidKey", "string", "Time Zone", 40),
        derived("OrganizationType", "string", "Edition", 40),
        derived("NamespacePrefix", "string", "Namespace Prefix", 15),
        derived("InstanceName", "string", "Instance Name", 5),
        derived("IsSandbox", "boolean", "Is Sandbox", nillable=False),
        *_audit(),
    ), allows=_READ_ONLY),
    SObject("User", "User", "Users", "005", (
        _id("User ID"),
        derived("Username", "string", "Username", 80, nillable=False, id_lookup=True),
        derived("LastName", "string", "Last Name", 80, nillable=False),
        derived("FirstName", "string", "First Name", 40),
        derived("Name", "string", "Full Name", 121, nillable=False, name_field=True),
        derived("Email", "email", "Email", 128, nillable=False, id_lookup=True),
        derived("IsActive", "boolean", "Active", nillable=False),
        derived("UserType", "picklist", "User Type", 40),
        derived("TimeZoneSidKey", "picklist", "Time Zone", 40),
        *_audit(),
    ), allows=_READ_ONLY),
    SObject("Account", "Account", "Accounts", "001", (
        _id("Account ID"), _DELETED, _master("Account"),
        text("Name", "Account Name", nillable=False, name_field=True),
        picklist("Type", "Account Type", ("Prospect", "Customer - Direct", "Customer - Channel", "Other")),
        reference("ParentId", "Parent Account ID", "Account", relation="Parent",
                  child_relationship="ChildAccounts"),
        *_address("Billing"), _PHONE, _FAX,
        text("AccountNumber", "Account Number", 40),
        Field("Website", "url", "Website", 255),
        _INDUSTRY, _REVENUE, _EMPLOYEES,
        _long_text("Description", "Account Description"),
        text("Site", "Account Site", 80),
        _owner(), *_audit(),
    ), (*_RECENT, ("Name",)), mergeable=True),
    SObject("Contact", "Contact", "Contacts", "003", (
        _id("Contact ID"), _DELETED, _master("Contact"),
        reference("AccountId", "Account ID", "Account", relation="Account",
                  child_relationship="Contacts", cascade=True),
        *_person_name(), *_address("Mailing"),
        Field("Phone", "phone", "Business Phone", 40), Field("Fax", "phone", "Business Fax", 40), _MOBILE,
        reference("ReportsToId", "Reports To ID", "Contact", relation="ReportsTo"),
        *_person_email(bounce_createable=True),
        derived("IsEmailBounced", "boolean", "Is Email Bounced", nillable=False),
        text("Title", "Title", 128),
        text("Department", "Department", 80),
        _LEAD_SOURCE,
        Field("Birthdate", "date", "Birthdate"),
        _long_text("Description", "Contact Description"),
        _owner(), *_audit(),
    ), (*_RECENT, ("Email",), ("AccountId",), ("MasterRecordId",)), mergeable=True),
    SObject("Lead", "Lead", "Leads", "00Q", (
        _id("Lead ID"), _DELETED, _master("Lead"),
        *_person_name(),
        text("Title", "Title", 128),
        text("Company", "Company", nillable=False),
        *_address(""), _PHONE, _MOBILE, _FAX,
        *_person_email(bounce_createable=False),
        Field("Website", "url", "Website", 255),
        _long_text("Description", "Description"),
        _LEAD_SOURCE,
        picklist("Status", "Status", ("Open - Not Contacted", "Working - Contacted", "Closed - Converted",
                                      "Closed - Not Converted"),
                 nillable=False, default="Open - Not Contacted"),
        _INDUSTRY,
        picklist("Rating", "Rating", ("Hot", "Warm", "Cold")),
        _REVENUE, _EMPLOYEES,
        _owner("Group", "User"),
        flag("IsConverted", "Converted", updateable=False),
        derived("ConvertedDate", "date", "Converted Date"),
        derived("ConvertedAccountId", "reference", "Converted Account ID", 18, reference_to=("Account",),
                relationship_name="ConvertedAccount"),
        derived("ConvertedContactId", "reference", "Converted Contact ID", 18, reference_to=("Contact",),
                relationship_name="ConvertedContact"),
        flag("IsUnreadByOwner", "Unread By Owner"),
        *_audit(),
    ), (*_RECENT, ("Email",), ("ConvertedContactId",), ("MasterRecordId",)), mergeable=True),
    SObject("Note", "Note", "Notes", "002", (
        _id("Note Id"), _DELETED,
        reference("ParentId", "Parent ID", "Account", "Contact", "Lead", relation="Parent", nillable=False,
                  updateable=False, child_relationship="Notes", cascade=True),
        text("Title", "Title", 80, nillable=False, id_lookup=True, name_field=True),
        flag("IsPrivate", "Private"),
        _long_text("Body", "Body"),
        _owner(), *_audit(),
    ), (*_RECENT, ("ParentId", "Title"), ("Title",))),
    SObject("Task", "Task", "Tasks", "00T", (
        _id("Activity ID"),
        reference("WhoId", "Name ID", "Contact", "Lead", relation="Who", child_relationship="Tasks", cascade=True),
        reference("WhatId", "Related To ID", "Account", relation="What", child_relationship="Tasks", cascade=True),
        Field("Subject", "combobox", "Subject", 255, name_field=True,
              picklist_values=("Call", "Email", "Send Letter", "Send Quote", "Other")),
        Field("ActivityDate", "date", "Due Date Only"),
        picklist("Status", "Status", ("Not Started", "In Progress", "Completed", "Waiting on someone else",
                                      "Deferred"), nillable=False, default="Not Started"),
        picklist("Priority", "Priority", ("High", "Normal", "Low"), 20, nillable=False, default="Normal"),
        derived("IsHighPriority", "boolean", "High Priority", nillable=False),
        _owner("Group", "User", label="Assigned To ID"),
        _long_text("Description", "Description"),
        _DELETED,
        derived("AccountId", "reference", "Account ID", 18, reference_to=("Account",),
                relationship_name="Account"),
        derived("IsClosed", "boolean", "Closed", nillable=False),
        *_audit(),
        derived("IsArchived", "boolean", "Archived", nillable=False),
        picklist("TaskSubtype", "Task Subtype",
                 ("Task", "Email", "ListEmail", "Cadence", "Call", "LinkedIn"), 40,
                 updateable=False, restricted=True),
        derived("CompletedDateTime", "datetime", "Completed Date/Time"),
        text("Writeback_Key__c", "Writeback Key", external_id=True, unique=True, id_lookup=True,
             case_sensitive=True),
    ), (*_RECENT, ("WhoId",))),
    SObject("ContentNote", "Note", "Notes", "069", (
        _id("ContentNote ID"),
        text("Title", "Title", nillable=False, id_lookup=True, name_field=True),
        Field("Content", "base64", "Content", filterable=False),
        derived("FileType", "string", "File Type", 20),
        derived("TextPreview", "string", "Text Preview", 255),
        derived("ContentSize", "int", "Content Size"),
        derived("LatestPublishedVersionId", "reference", "Latest Published Version ID", 18),
        _owner(), *_audit(), _DELETED,
    ), (*_RECENT, ("Title",)), allows=_NO_UPSERT),
    SObject("ContentDocument", "Content Document", "Content Documents", "069", (
        _id("ContentDocument ID"), _DELETED,
        text("Title", "Title", nillable=False, createable=False, name_field=True),
        derived("FileType", "string", "File Type", 20),
        derived("ContentSize", "int", "Content Size"),
        derived("LatestPublishedVersionId", "reference", "Latest Published Version ID", 18),
        _owner(), *_audit(),
    ), _RECENT, allows=frozenset({"update", "delete"})),
    SObject("ContentDocumentLink", "Content Document Link", "Content Document Link", "06A", (
        _id("ContentDocumentLink ID"),
        reference("LinkedEntityId", "Linked Entity ID", "Account", "Contact", "Lead", "User",
                  relation="LinkedEntity", nillable=False, updateable=False,
                  child_relationship="ContentDocumentLinks", cascade=True),
        reference("ContentDocumentId", "ContentDocument ID", "ContentDocument", relation="ContentDocument",
                  nillable=False, updateable=False, child_relationship="ContentDocumentLinks", cascade=True),
        _DELETED,
        derived("SystemModstamp", "datetime", "System Modstamp", nillable=False),
        picklist("ShareType", "Share Type", ("V", "C", "I"), 40, restricted=True, default="V"),
        picklist("Visibility", "Visibility", ("AllUsers", "InternalUsers", "SharedUsers"), 40,
                 restricted=True, default="AllUsers"),
    ), (*_RECENT, ("LinkedEntityId",), ("ContentDocumentId",)), allows=_NO_UPSERT),
    SObject("Writeback__c", "Writeback", "Writebacks", "a00", (
        _id("Record ID"), _DELETED,
        derived("Name", "string", "Writeback Number", 80, nillable=False, id_lookup=True, name_field=True),
        text("Key__c", "Key", nillable=False, external_id=True, unique=True, id_lookup=True, case_sensitive=True),
        text("Record_Id__c", "Record Id", 18),
        _owner("Group", "User"), *_audit(),
    ), _RECENT),
)  # fmt: skip

OBJECTS: dict[str, SObject] = {described.name: described for described in _ALL}
_BY_LOWER_NAME = {name.lower(): described for name, described in OBJECTS.items()}
_BY_PREFIX = {described.key_prefix: described for described in _ALL}


def sobject(name: str) -> SObject:
    """The object of that name in any case; KeyError when the organisation has none."""
    return _BY_LOWER_NAME[name.lower()]


def by_key_prefix(prefix: str) -> SObject | None:
    """The object whose ids begin with these three characters; ContentDocument for a ContentNote's."""
    return _BY_PREFIX.get(prefix)


def children_of(parent: str) -> list[tuple[SObject, Field]]:
    """Every (child object, reference field) through which records hang on `parent`."""
    return [(child, f) for child in OBJECTS.values() for f in child.fields if parent in f.reference_to]
