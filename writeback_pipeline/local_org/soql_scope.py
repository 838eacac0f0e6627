"""Which columns the names in a query stand for: fields of the queried object, and of its parents by joins.

Identifiers that reach SQL come from the schema only, never from the query text; values reach it only by `bind`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.soql_errors import QueryError, refusal
from writeback_pipeline.local_org.soql_grammar import Path
from writeback_pipeline.local_org.soql_values import Value

_REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."
_NAME_FIELDS = frozenset(
    {"id", "name", "type", "firstname", "lastname", "title", "email", "phone", "username", "isactive"}
)
"""What a parent of several possible types shows, whichever it is."""

TYPE = Field("Type", "string", "Type")


@dataclass(slots=True)
class Statement:
    """The one SQL statement under construction: its bound values and the aliases in use."""

    query: str
    data_url: str
    visible: Callable[[str], SObject]
    include_deleted: bool
    values: dict[str, Value] = field(default_factory=dict)
    aliases: int = 0

    def bind(self, value: Value) -> str:
        """The placeholder of a value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def alias(self) -> str:
        """A table alias that the statement has not used yet."""
        self.aliases += 1
        return f"t{self.aliases}"

    def sobject(self, source: Path) -> SObject:
        """The object named after FROM."""
        name = source.names[0]
        try:
            return self.visible(name)
        except KeyError as error:
            message = (
                f"sObject type '{name}' is not supported. If you are attempting to use a custom object, "
                f"be sure to append the '__c' after the entity name. {_REFERENCE}"
            )
            raise refusal(self.query, source.at, "INVALID_TYPE", message) from error


@dataclass(frozen=True, slots=True)
class Column:
    """A resolved field and the SQL expression of its value."""

    sql: str
    field: Field


@dataclass(slots=True)
class Scope:
    """A record that names are resolved on; a parent that may be of several types is one table for each type."""

    statement: Statement
    tables: tuple[tuple[str, SObject], ...]
    joins: list[str]
    relationship: str = ""
    parents: dict[str, "Scope"] = field(default_factory=dict)

    @classmethod
    def of(cls, statement: Statement, sobject: SObject) -> "Scope":
        """The scope of a query's own rows, under an alias of its own."""
        return cls(statement, ((statement.alias(), sobject),), [])

    @property
    def polymorphic(self) -> bool:
        """Whether the record may be of several types."""
        return len(self.tables) > 1

    @property
    def sobject(self) -> SObject:
        """The record's object (the first possible one of a polymorphic parent)."""
        return self.tables[0][1]

    @property
    def alias(self) -> str:
        """The alias of the record's table (the first possible one of a polymorphic parent)."""
        return self.tables[0][0]

    @property
    def source(self) -> str:
        """The record's table as it stands after FROM."""
        return f'"{self.sobject.name}" {self.alias}'

    @property
    def identity(self) -> str:
        """SQL of the record's id; null when there is no such parent."""
        return _first_of([f'{alias}."Id"' for alias, _ in self.tables])

    @property
    def type(self) -> str:
        """SQL of the name of the record's object."""
        if not self.polymorphic:
            return f"'{self.sobject.name}'"
        cases = " ".join(f"WHEN {alias}.\"Id\" IS NOT NULL THEN '{s.name}'" for alias, s in self.tables)
        return f"CASE {cases} END"

    def chain(self, path: Path) -> list["Scope"]:
        """The records along `path`: this one, its parent, and so on to the one that has the field."""
        scopes = [self]
        for name in path.names[:-1]:
            scopes.append(scopes[-1]._parent(name, path))
        return scopes

    def column(self, path: Path) -> Column:
        """The column that `path` names; raises QueryError (INVALID_FIELD) when there is none."""
        scope, name = self.chain(path)[-1], path.names[-1]
        if scope.polymorphic and name.lower() == "type":
            return Column(scope.type, TYPE)
        holders = [(alias, s.field(name)) for alias, s in scope.tables if s.has(name)]
        if not holders or (scope.polymorphic and name.lower() not in _NAME_FIELDS):
            entity = "Name" if scope.polymorphic else scope.sobject.name
            message = (
                f"No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, "
                f"be sure to append the '__c' after the custom field name. {_REFERENCE}"
            )
            raise refusal(self.statement.query, path.at, "INVALID_FIELD", message)
        return Column(_first_of([f'{alias}."{f.name}"' for alias, f in holders]), holders[0][1])

    def _parent(self, relationship: str, path: Path) -> "Scope":
        if relationship.lower() not in self.parents:
            self.parents[relationship.lower()] = self._joined(relationship, path)
        return self.parents[relationship.lower()]

    def _joined(self, relationship: str, path: Path) -> "Scope":
        through = [f for f in self.sobject.fields if (f.relationship_name or "").lower() == relationship.lower()]
        if self.polymorphic or not through:
            raise self._no_relationship(relationship, path)
        tables = []
        for target in through[0].reference_to:
            try:
                sobject = self.statement.visible(target)
            except KeyError:  # a type that this organisation has no records of, such as a queue
                continue
            alias = self.statement.alias()
            reference = f'{self.alias}."{through[0].name}"'
            self.joins.append(f'LEFT JOIN "{sobject.name}" {alias} ON {alias}."Id" = {reference}')
            tables.append((alias, sobject))
        if not tables:
            raise self._no_relationship(relationship, path)
        return Scope(self.statement, tuple(tables), self.joins, through[0].relationship_name or "")

    def _no_relationship(self, relationship: str, path: Path) -> QueryError:
        message = (
            f"Didn't understand relationship '{relationship}' in field path. If you are attempting to use a "
            f"custom relationship, be sure to append the '__r' after the custom relationship name. {_REFERENCE}"
        )
        return refusal(self.statement.query, path.at, "INVALID_FIELD", message)


def _first_of(expressions: list[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"coalesce({', '.join(expressions)})"
