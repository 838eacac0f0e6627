"""The query language: its grammar and the plain values a query text is parsed into.

Names are not resolved here and literals are not read; that is the compiler's work (`soql`). The language is as strict
as Salesforce's: AND and OR do not mix without parentheses, and NOT only opens a condition.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken

from writeback_pipeline.local_org.soql_errors import QueryError, refusal

MAX_QUERY_CHARACTERS = 100_000

_GRAMMAR = r"""
query: _SELECT items _FROM NAME [_WHERE condition] [_ORDER _BY keys] [_LIMIT INTEGER] [_OFFSET INTEGER]
items: item ("," item)*
?item: path | "(" query ")" | COUNT "(" ")" -> function | FIELDS "(" NAME ")" -> function
path: NAME ("." NAME)*

?condition: operand | conjunction | disjunction | negation
?operand: "(" condition ")" | comparison
conjunction: operand (_AND operand)+
disjunction: operand (_OR operand)+
negation: _NOT operand
comparison: path OPERATOR literal | path LIKE literal | path membership (literals | "(" query ")")
membership: [NOT] IN
literals: "(" literal ("," literal)* ")"
?literal: STRING | NUMBER | DATETIME | DATE | WORD

keys: key ("," key)*
key: path [DIRECTION] [NULLS]

_SELECT.1: /SELECT\b/i
_FROM: /FROM\b/i
_WHERE: /WHERE\b/i
_ORDER: /ORDER\b/i
_BY: /BY\b/i
_LIMIT: /LIMIT\b/i
_OFFSET: /OFFSET\b/i
_AND: /AND\b/i
_OR: /OR\b/i
_NOT: /NOT\b/i
NOT: /NOT\b/i
IN: /IN\b/i
LIKE: /LIKE\b/i
COUNT.1: /COUNT(?=\s*\()/i
FIELDS.1: /FIELDS(?=\s*\()/i
DIRECTION: /(ASC|DESC)\b/i
NULLS: /NULLS\s+(FIRST|LAST)\b/i
OPERATOR: "=" | "!=" | "<>" | "<=" | ">=" | "<" | ">"
STRING: /'(?:[^'\\]|\\.)*'/s
DATETIME.2: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)/i
DATE.1: /\d{4}-\d\d-\d\d/
INTEGER: /\d{1,9}\b/
NUMBER: /[+-]?\d+(\.\d+)?/
WORD: /[a-z]\w*(:\d{1,5}\b)?/i
NAME: /(?!(SELECT|FROM|WHERE|ORDER|LIMIT|OFFSET|AND|OR|NOT|LIKE|IN)\b)[a-z]\w*/i
%ignore /\s+/
"""

_WORD = re.compile(r"[\w.]+|\S|$")


@dataclass(frozen=True, slots=True)
class Path:
    """A field, or a field of a parent: `Account.Name` is two names; `at` is its offset in the query text."""

    names: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Function:
    """`COUNT()` or `FIELDS(group)`; `argument` is None for COUNT."""

    name: str
    argument: str | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written: `kind` is STRING, NUMBER, DATE, DATETIME or WORD (null, a boolean, a date function)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One test of a field; the operator is upper case, the values of IN are a tuple or a query."""

    path: Path
    operator: str
    values: "tuple[Literal, ...] | Query"


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND or OR."""

    operator: str
    operands: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT of a condition."""

    operand: "Condition"


Condition = Comparison | Junction | Negation


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key; nulls come first unless the query says otherwise."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One SELECT; `source` names an object, or in a child query the relationship to it."""

    items: "tuple[Path | Function | Query, ...]"
    source: Path
    where: Condition | None
    keys: tuple[Key, ...]
    limit: int | None
    offset: int


def parse(text: str) -> Query:
    """The query that `text` spells; raises QueryError (MALFORMED_QUERY) when it is none."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryError(
            400,
            "MALFORMED_QUERY",
            f"SOQL statements cannot be longer than {MAX_QUERY_CHARACTERS} characters.",
        )
    try:
        return _parser()(text)
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        at = len(text.rstrip()) if at_end else (error.pos_in_stream or 0)
        word = _WORD.match(text, at)
        shown = word.group() if word and word.group() else "<EOF>"
        raise refusal(text, at, "MALFORMED_QUERY", f"unexpected token: '{shown}'") from error


@cache
def _parser() -> Callable[[str], Query]:
    parser = Lark(_GRAMMAR, parser="lalr", start="query", maybe_placeholders=True, transformer=_ToValues())
    return parser.parse  # type: ignore[return-value]


def _literal(token: Token) -> Literal:
    return Literal(token.type, str(token))


def _path(*names: Token) -> Path:
    return Path(tuple(map(str, names)), names[0].start_pos or 0)


@v_args(inline=True)
class _ToValues(Transformer[Token, Any]):
    """Builds the values above while the text is parsed, so that no tree is ever made."""

    STRING = NUMBER = DATE = DATETIME = WORD = staticmethod(_literal)
    path = staticmethod(_path)

    def query(
        self,
        items: tuple[Path | Function | Query, ...],
        source: Token,
        where: Condition | None,
        keys: tuple[Key, ...] | None,
        limit: Token | None,
        offset: Token | None,
    ) -> Query:
        return Query(
            items,
            _path(source),
            where,
            keys or (),
            int(limit) if limit else None,
            int(offset) if offset else 0,
        )

    def items(self, *items: Path | Function | Query) -> tuple[Path | Function | Query, ...]:
        return items

    def function(self, name: Token, argument: Token | None = None) -> Function:
        return Function(name.upper(), argument.upper() if argument else None)

    def literals(self, *literals: Literal) -> tuple[Literal, ...]:
        return literals

    def membership(self, negated: Token | None, _word: Token) -> str:
        return "NOT IN" if negated else "IN"

    def comparison(self, path: Path, operator: str, right: Literal | tuple[Literal, ...] | Query) -> Comparison:
        values = (right,) if isinstance(right, Literal) else right
        return Comparison(path, "!=" if operator == "<>" else operator.upper(), values)

    def conjunction(self, *operands: Condition) -> Junction:
        return Junction("AND", operands)

    def disjunction(self, *operands: Condition) -> Junction:
        return Junction("OR", operands)

    def negation(self, operand: Condition) -> Negation:
        return Negation(operand)

    def keys(self, *keys: Key) -> tuple[Key, ...]:
        return keys

    def key(self, path: Path, direction: Token | None, nulls: Token | None) -> Key:
        return Key(path, str(direction).upper() == "DESC", bool(nulls) and str(nulls).upper().endswith("LAST"))
