"""SQLite's compiler of queries."""

import json
from collections.abc import Iterator, Sequence
from sqlite3 import Connection

from autocrud.query.conditions import And, Condition, Matches, Query, Term, all_of, leaves
from autocrud.query.metadata_fields import CREATED_TIME, RESOURCE_ID
from autocrud.query.operators import Operator
from autocrud.query.regex import compile_pattern
from autocrud.query.text_search import RankField, TextQuery
from autocrud.schema.column_types import ColumnKind, ColumnValue, IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.search_document import DocumentField
from autocrud.storage.metadata.sql.compiler import Compiler

_ORDER_SCAN_SHARE = 50  # a text query matches many resources if it matches one of so many
_MAX_PARAMETERS = 100  # values; more are bound as one
_MAX_COUNTED_ROWS = 1000  # an item that so many have is a common one
_MAX_PROBED_ITEMS = 8  # items of one term, that are looked at for the rarest
_encode_list = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` would make an encoder for each list


def quote(name: str) -> str:
    """Return a name as an SQL identifier, with its quotes escaped."""
    return '"' + name.replace('"', '""') + '"'


def add_functions(db: Connection) -> None:
    """Give a connection the functions that queries call: SQLite's own know no Unicode and no regular expressions."""
    db.create_function("casefold", 1, _casefold, deterministic=True)
    db.create_function("matches", 2, _matches, deterministic=True)


def stored_value(value: IndexValue) -> ColumnValue:
    """A column's value as SQLite has it: a list as JSON."""
    return _encode_list([*map(stored_item, value)]) if isinstance(value, tuple) else value


def stored_item(value: ColumnValue) -> ColumnValue:
    """An item of a list as SQLite has it. A float is a text there: SQLite's JSON does not read each one as it was."""
    return repr(value + 0.0) if isinstance(value, float) else value  # zero has one sign


def items_table(base: str, field: IndexField) -> str:
    """The table of the items of a list field, quoted. `base` is the start of the names of the model's tables."""
    return quote(f"_items_{base}__{field.column}")


def words_name(base: str, field: DocumentField) -> str:
    """Return the name of the table of a document's words."""
    return f"_words_{base}__{field.column}"


def words_table(base: str, field: DocumentField) -> str:
    """Return the table of a document's words, quoted."""
    return quote(words_name(base, field))


def scans_in_order(db: Connection, query: Query, base: str, heads: str) -> bool:
    """Return True if a page of a text query is found faster in the query's order than by sorting all matches.

    SQLite does not know the number of matches, and begins with them, which is slow if there are many.
    """
    found = next((leaf for leaf in leaves(query.where) if isinstance(leaf, Matches)), None)
    first = query.order[0].field
    if found is None or isinstance(first, RankField) or (first.is_meta and first != CREATED_TIME):
        return False
    (rows,) = db.execute(f"SELECT coalesce(max(row), 0) FROM {heads}").fetchone()
    table, many = words_table(base, found.field), rows // _ORDER_SCAN_SHARE
    matching = f"SELECT 1 FROM {table} WHERE {table} MATCH ? LIMIT ?"
    (number,) = db.execute(f"SELECT count(*) FROM ({matching})", (_match(found.text), many + 1)).fetchone()
    return bool(number > many)


class SqliteCompiler(Compiler):
    """Compile one statement for SQLite, with `?n` for each value.

    Args:
        base: start of the names of the model's tables.
        scans_in_order: the heads are read in order, as the function of this name has found to be faster.
    """

    not_deleted = "is_deleted = 0"

    def __init__(self, base: str, *, scans_in_order: bool = False) -> None:
        super().__init__()
        self._base = base
        self._scans_in_order = scans_in_order
        self._replacements: dict[str, str] = {}

    def name(self, field: IndexField) -> str:
        return self._replacements.get(field.column) or quote(field.column)

    def source(self, db: Connection, heads: str, query: Query) -> tuple[str, Condition | None]:
        """Return the table that a search reads, and the rest of the condition: the heads, or a list's items.

        Must be called before anything is compiled.
        """
        where, order = query.where, [key.field for key in query.order]
        if order != [CREATED_TIME, RESOURCE_ID] or len({key.descending for key in query.order}) > 1:
            return heads, where
        parts = where.parts if isinstance(where, And) else () if where is None else (where,)
        terms = [part for part in parts if isinstance(part, Term) and part.field.is_list]
        candidates = [
            (items_table(self._base, term.field), value, term) for term in terms for value in _required_items(term)
        ]
        if not candidates:
            return heads, where
        # The rarest item is what the fewest resources are read for.
        if len(candidates) > 1:
            candidates.sort(key=lambda candidate: _count_items(db, *candidate[:2]))
        items, value, term = candidates[0]
        self._replacements = {"created_time": "time", "resource_id": "id"}
        same = f"(value, created_time, resource_id) = ({self.placeholder(value)}, time, id)"
        rest = where if isinstance(term.value, tuple) else all_of(*(part for part in parts if part is not term))
        return f"{items} JOIN {heads} ON row = number AND {same}", rest

    def bind(self, field: IndexField, value: ColumnValue) -> str:
        return self.placeholder(value)

    def bind_text(self, text: str) -> str:
        return self.placeholder(text)

    def placeholder(self, value: ColumnValue) -> str:
        """Bind a value."""
        self.values.append(value)
        return f"?{len(self.values)}"

    def in_term(self, field: IndexField, values: Sequence[ColumnValue]) -> str:
        if len(values) > _MAX_PARAMETERS and field.kind is not ColumnKind.real:  # SQLite's JSON reads no float for sure
            return f"{self.column(field)} IN (SELECT value FROM json_each({self.placeholder(json.dumps(values))}))"
        return f"{self.column(field)} IN ({', '.join(self.bind(field, value) for value in values)})"

    def text_term(self, field: IndexField, operator: Operator, text: str) -> str:
        column = self.column(field)
        if operator is Operator.contains:
            return f"instr({column}, {self.bind_text(text)}) > 0"
        if operator is Operator.icontains:
            return f"instr(casefold({column}), {self.bind_text(text)}) > 0"
        if operator is Operator.regex:
            return f"matches({column}, {self.bind_text(text)})"
        return f"substr({column}, -{len(text)}) = {self.bind_text(text)}" if text else f"{column} IS NOT NULL"

    def list_term(self, field: IndexField, operator: Operator, values: Sequence[ColumnValue]) -> str:
        items = dict.fromkeys(map(stored_item, values))
        if not items and operator is not Operator.contains_any:
            return f"{self.column(field)} IS NOT NULL"
        found = (
            f"FROM {items_table(self._base, field)} AS x WHERE x.value IN ({', '.join(map(self.placeholder, items))})"
        )
        least = 1 if operator is Operator.contains_any else len(items)
        if self._replacements:
            # Few rows are looked at, and each of them is looked up.
            return f"(SELECT count(*) {found} AND (x.time, x.id) = (created_time, resource_id)) >= {least}"
        return f"row IN (SELECT x.number {found}{f' GROUP BY x.number HAVING count(*) = {least}' * (least > 1)})"

    def matches(self, field: DocumentField, text: TextQuery) -> str:
        table = words_table(self._base, field)
        # With the sign, SQLite does not begin with these rows.
        row = "+row" if self._scans_in_order else "row"
        return f"{row} IN (SELECT rowid FROM {table} WHERE {table} MATCH {self.bind_text(_match(text))})"

    def in_column(self, field: IndexField, operator: Operator, values: Sequence[ColumnValue]) -> str:
        """Compile `list_term` on the column alone, without the table of the items."""
        query_items, column_items = (
            f"SELECT value FROM json_each({self.placeholder(json.dumps([*map(stored_item, values)]))})",
            f"SELECT value FROM json_each({self.column(field)})",
        )
        if operator is Operator.contains_any:
            return f"EXISTS (SELECT 1 FROM ({query_items}) WHERE value IN ({column_items}))"
        missing = f"SELECT 1 FROM ({query_items}) WHERE value NOT IN ({column_items})"
        return f"({self.column(field)} IS NOT NULL AND NOT EXISTS ({missing}))"


def _required_items(term: Term) -> Iterator[ColumnValue]:
    """Yield items that a list must have to satisfy a term."""
    values = term.value if isinstance(term.value, tuple) else (term.value,)
    if term.operator is not Operator.is_null and (term.operator is not Operator.contains_any or len(values) == 1):
        yield from map(stored_item, values[:_MAX_PROBED_ITEMS])


def _count_items(db: Connection, items: str, value: ColumnValue) -> int:
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {items} WHERE value = ? LIMIT {_MAX_COUNTED_ROWS})"
    (count,) = db.execute(sql, (value,)).fetchone()
    return int(count)


def _match(text: TextQuery) -> str:
    """A text query in the language of FTS5."""
    required, excluded = (
        [f'"{" ".join(clause.words)}"{" *" * clause.prefix}' for clause in clauses]
        for clauses in (text.required, text.unwanted)
    )
    return f"({' AND '.join(required)})" + (f" NOT ({' OR '.join(excluded)})" if excluded else "")


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _matches(text: str | None, pattern: str) -> bool | None:
    return None if text is None else compile_pattern(pattern).search(text) is not None
