"""What a field and an sObject are, and the short constructors with which the schema is written down.

Types only: which objects the organisation has stands in `schema`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict, Unpack

FieldType = Literal[
    "id", "string", "boolean", "picklist", "combobox", "textarea", "email", "phone", "url", "reference",
    "date", "datetime", "int", "double", "currency", "base64",
]  # fmt: skip
Operation = Literal["create", "update", "upsert", "delete"]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field as describe shows it; lengths in characters; `default` stands in for a missing value."""

    name: str
    type: FieldType
    label: str
    length: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    filterable: bool = True
    id_lookup: bool = False
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    name_field: bool = False
    default: str | bool | None = None
    picklist_values: tuple[str, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    child_relationship: str | None = None
    cascade: bool = False

    @property
    def polymorphic(self) -> bool:
        """Whether the reference may name records of several sObjects."""
        return len(self.reference_to) > 1

    @property
    def required(self) -> bool:
        """Whether a create must give a value, because nothing else supplies one."""
        supplied = self.default is not None or self.type == "boolean" or self.name == "OwnerId"
        return self.createable and not self.nillable and not supplied


@dataclass(frozen=True, slots=True, eq=False)
class SObject:
    """One object and its fields, in the order in which the API prints them."""

    name: str
    label: str
    label_plural: str
    key_prefix: str
    fields: tuple[Field, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    allows: frozenset[Operation] = frozenset({"create", "update", "upsert", "delete"})
    mergeable: bool = False
    by_name: dict[str, Field] = field(init=False, repr=False)
    required: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {f.name.lower(): f for f in self.fields})
        object.__setattr__(self, "required", tuple(f.name for f in self.fields if f.required))

    def field(self, name: str) -> Field:
        """The field of that name in any case; KeyError when the object (or this session) has none."""
        return self.by_name[name.lower()]

    def has(self, name: str) -> bool:
        """Whether the object has a field of that name, in any case."""
        return name.lower() in self.by_name


class Options(TypedDict, total=False):
    """What a constructor below passes on to `Field`."""

    nillable: bool
    createable: bool
    updateable: bool
    filterable: bool
    id_lookup: bool
    external_id: bool
    unique: bool
    case_sensitive: bool
    name_field: bool
    default: str | bool | None
    restricted: bool
    reference_to: tuple[str, ...]
    relationship_name: str | None
    child_relationship: str | None
    cascade: bool


def text(name: str, label: str, length: int = 255, **rest: Unpack[Options]) -> Field:
    """A single line of text."""
    return Field(name, "string", label, length, **rest)


def picklist(name: str, label: str, values: Sequence[str], length: int = 255, **rest: Unpack[Options]) -> Field:
    """A choice; other values are accepted too unless it is `restricted`."""
    return Field(name, "picklist", label, length, picklist_values=tuple(values), **rest)


def flag(name: str, label: str, **rest: Unpack[Options]) -> Field:
    """A checkbox, unchecked by default and never null."""
    return replace(Field(name, "boolean", label, **rest), nillable=False, default=False)


def reference(name: str, label: str, *targets: str, relation: str | None = None, **rest: Unpack[Options]) -> Field:
    """A look-up of a record of one of `targets`; SOQL walks it as `relation`."""
    return replace(Field(name, "reference", label, 18, **rest), reference_to=targets, relationship_name=relation)


def derived(name: str, kind: FieldType, label: str, length: int = 0, **rest: Unpack[Options]) -> Field:
    """A field that only the organisation itself fills."""
    return replace(Field(name, kind, label, length, **rest), createable=False, updateable=False)
