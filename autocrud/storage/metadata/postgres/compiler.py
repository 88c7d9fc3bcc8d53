"""PostgreSQL's compiler of queries, and the conversion of values for the driver."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from hashlib import sha1, sha256
from typing import Any
from uuid import UUID

from autocrud.query.operators import Operator
from autocrud.query.text_search import TextQuery
from autocrud.schema.column_types import ColumnKind, ColumnValue, IndexValue, decimal_of
from autocrud.schema.index_field import IndexField
from autocrud.schema.search_document import DocumentField
from autocrud.schema.versions.column_names import versioned
from autocrud.storage.metadata.sql.compiler import Compiler

# An index field's kind: the column's type, and how the value that other backends store becomes PostgreSQL's.
KINDS: dict[ColumnKind, tuple[str, Callable[[Any], Any]]] = {
    ColumnKind.text: ("text", str),
    ColumnKind.integer: ("bigint", int),
    ColumnKind.real: ("double precision", float),
    ColumnKind.boolean: ("boolean", bool),
    ColumnKind.decimal: ("numeric", decimal_of),
    ColumnKind.datetime: ("timestamptz", datetime.fromisoformat),
    ColumnKind.date: ("date", date.fromisoformat),
    ColumnKind.time: ("text", str),
    ColumnKind.uuid: ("uuid", UUID),
}
_INFINITE = {date.min: "-infinity", date.max: "infinity"}  # as which the driver binds these two
# A placeholder, outside of quoted names.
_PLACEHOLDER = re.compile(r'"[^"]*"|\$(\d+)')
_MAX_NAME_BYTES = 63  # of a name in PostgreSQL, which cuts longer ones, and would make two of them one


def quote(name: str) -> str:
    """Return a name as an SQL identifier, with its quotes escaped."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a name as an SQL literal, with its quotes escaped. Values of users are bound, and never quoted."""
    return "'" + text.replace("'", "''") + "'"


def fit_name(name: str) -> str:
    """A name that PostgreSQL does not cut: one that is too long ends in a hash of itself."""
    encoded = name.encode()
    if len(encoded) <= _MAX_NAME_BYTES:
        return name
    return encoded[: _MAX_NAME_BYTES - 17].decode(errors="ignore") + "_" + sha1(encoded).hexdigest()[:16]


def shift_placeholders(sql: str, offset: int) -> str:
    """Return a statement whose placeholders count from another number on."""

    def replace(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else f"${int(match[1]) + offset}"

    return _PLACEHOLDER.sub(replace, sql) if offset else sql


def key_of(name: str) -> int:
    """Return the number of an advisory lock. PostgreSQL keeps the locks of its databases apart."""
    return int.from_bytes(sha256(f"autocrud:{name}".encode()).digest()[:8], "big", signed=True)


def load_columns(name: str, number: str = "NULL", **columns: str) -> str:
    """Return the columns of a statement whose rows are `LoadedRow`. Columns without an expression are null."""
    kinds = {
        "name": "text", "number": "bigint", "time": "timestamptz", "flag": "boolean", "content": "bytea",
        "text1": "text", "text2": "text", "text3": "text",
    }  # fmt: skip
    values = {"name": name, "number": number, **columns}
    return ", ".join(f"{values.get(column, 'NULL')}::{kind} AS {column}" for column, kind in kinds.items())


class TableNames:
    """Names of one model's tables and indexes in PostgreSQL, quoted.

    Args:
        schema: the PostgreSQL schema of the tables.
        base: the prefix that all names share.
    """

    def __init__(self, schema: str, base: str) -> None:
        self._schema, self._base = schema, base

    def qualified(self, name: str) -> str:
        """Return the name with its schema."""
        return f"{quote(self._schema)}.{self.local(name)}"

    def local(self, name: str) -> str:
        """Return the name without its schema. CREATE INDEX takes no other."""
        return quote(fit_name(f"{self._base}_{name}"))


def column_name(field: IndexField) -> str:
    """The name of a field's column."""
    return fit_name(field.column)


def folded_name(field: IndexField) -> str:
    """The name of the column with a text's case folded, by Python as everywhere else."""
    return fit_name(f"{versioned('cf', field.schema_version)}_{field.name}")


def is_folded(field: IndexField) -> bool:
    """Return True if a field has a column of its folded text."""
    plain = not (field.is_list or field.is_meta or isinstance(field, DocumentField))
    return plain and field.kind is ColumnKind.text


def column_type(field: IndexField) -> str:
    """The type of a field's column."""
    return f"{KINDS[field.kind][0]}{'[]' if field.is_list else ''}"


def parameter_type(kind: str) -> str:
    """Return the type of a parameter for values of a type.

    Lists are passed as texts, because `unnest` would flatten an array of arrays.
    """
    return "text" if kind.endswith("[]") else kind


def to_driver_value(field: IndexField, value: IndexValue) -> Any:
    """A column's value as PostgreSQL takes it; a list as the text of an array."""
    if isinstance(value, tuple):
        return "{" + ",".join([_element(to_driver_value(field, item)) for item in value]) + "}"
    return None if value is None else KINDS[field.kind][1](value)


def converter(field: IndexField) -> Callable[[Any], Any]:
    """Return the function that converts values of the field's column, except null, for the driver."""
    return partial(to_driver_value, field) if field.is_list else KINDS[field.kind][1]


def _element(value: Any) -> str:
    """An element of an array's text. In quotes, nothing but quotes and backslashes has a meaning."""
    text = _INFINITE.get(value) or str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def words_of(field: DocumentField) -> str:
    """The words of a document, as an index has them."""
    return f"array_to_tsvector(string_to_array(btrim({quote(column_name(field))}), '  '))"


def _tsquery(text: TextQuery) -> str:
    """A text query as a tsquery, but for which words stand together. Words hold nothing that has a meaning there."""
    required = [
        f"'{word}'{':*' * (clause.prefix and place == len(clause.words))}"
        for clause in text.required
        for place, word in enumerate(clause.words, 1)
    ]
    excluded = [f"!'{clause.words[0]}'{':*' * clause.prefix}" for clause in text.unwanted if len(clause.words) == 1]
    return " & ".join([*required, *excluded])


def names_of(columns: Iterable[str]) -> str:
    """Columns, quoted."""
    return ", ".join(map(quote, columns))


def rows_of(columns: Mapping[str, str]) -> str:
    """The arrays of a statement's arguments, as rows."""
    casts = ", ".join(f"${number}::{parameter_type(kind)}[]" for number, kind in enumerate(columns.values(), 1))
    return f"unnest({casts}) AS row ({names_of(columns)})"


def row_value(name: str, kind: str) -> str:
    """A column's value in such a row."""
    return f"row.{quote(name)}" + (f"::{kind}" if parameter_type(kind) != kind else "")


class PostgresCompiler(Compiler):
    """Compile one statement for PostgreSQL, with `$n` for each value."""

    not_deleted = "NOT is_deleted"

    def name(self, field: IndexField) -> str:
        return quote(column_name(field))

    def bind(self, field: IndexField, value: ColumnValue) -> str:
        return self.placeholder(to_driver_value(field, value), KINDS[field.kind][0])

    def bind_text(self, text: str) -> str:
        return self.placeholder(text, "text")

    def placeholder(self, value: Any, kind: str) -> str:
        """Bind a value of this type."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"

    def in_term(self, field: IndexField, values: Sequence[ColumnValue]) -> str:
        return f"{self.column(field)} = ANY({self._array(field, values)})"

    def text_term(self, field: IndexField, operator: Operator, text: str) -> str:
        column = self.column(field)
        if operator is Operator.contains:
            return f"strpos({column}, {self.bind_text(text)}) > 0"
        if operator is Operator.icontains:
            return f"strpos({quote(folded_name(field))}, {self.bind_text(text)}) > 0"
        if operator is Operator.regex:
            return f"{column} ~ {self.bind_text(text)}"
        return f"right({column}, {len(text)}) = {self.bind_text(text)}" if text else f"{column} IS NOT NULL"

    def list_term(self, field: IndexField, operator: Operator, values: Sequence[ColumnValue]) -> str:
        sign = "&&" if operator is Operator.contains_any else "@>"
        return f"{self.column(field)} {sign} {self._array(field, values)}"

    def matches(self, field: DocumentField, text: TextQuery) -> str:
        terms = [f"{words_of(field)} @@ {self.placeholder(_tsquery(text), 'text')}::tsquery"]
        for clauses, sign in ((text.required, ">"), (text.unwanted, "=")):
            # The words are not known by their places.
            phrases = [clause for clause in clauses if len(clause.words) > 1]
            terms += [f"strpos({self.name(field)}, {self.bind_text(clause.pattern)}) {sign} 0" for clause in phrases]
        return f"({' AND '.join(terms)})"

    def _array(self, field: IndexField, values: Sequence[ColumnValue]) -> str:
        return self.placeholder([to_driver_value(field, value) for value in values], f"{KINDS[field.kind][0]}[]")
