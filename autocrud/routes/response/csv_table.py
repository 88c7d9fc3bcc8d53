"""CSV tables (RFC 4180): resources as rows, with metadata and data as columns."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.resource import ResourceMeta
from autocrud.routes.request.field_mask import Tree, field_mask
from autocrud.storage.ports.types import Head

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
# Spreadsheets take such a text for a formula (OWASP, CSV injection), also with full-width characters.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # full-width on purpose
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MAX_DEPTH = 8  # of nested objects with columns of their own
_META_NAMES = tuple(ResourceMeta.model_fields)
_Path = tuple[str, ...]


class CsvTable:
    """Writes resources of one model as CSV.

    Nested objects have a column per member, named by its path. Lists and other values are JSON. Text cells that a
    spreadsheet would read as a formula begin with an apostrophe.

    Args:
        schema: JSON schema of the data in answers.
        parts: parts of the envelope to write: `meta`, `data`.
        fields: field mask of the data; empty for all data.
        show: returns the shown form of stored data.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        parts: AbstractSet[str],
        fields: Tree,
        show: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._fields = fields
        self._show = show
        data_paths = list(dict.fromkeys(_data_paths(schema, schema.get("$defs", {}), ())))
        if "data" not in parts:
            data_paths = []
        self._data_paths = [path for path in data_paths if _is_selected(path, fields)]
        self._meta_names = _META_NAMES if "meta" in parts else ()
        # A model without a fixed set of members is one cell.
        names = [".".join(path) or "data" for path in self._data_paths]
        # As in filters, a field of the model has precedence over a metadata field of the same name.
        meta_names = [f"meta.{name}" if name in names else name for name in self._meta_names]
        self.header = _join([*meta_names, *names])

    def row(self, head: Head) -> bytes:
        """Return the row of one resource. Data that was pruned, or cannot be read, has empty cells."""
        meta = from_json(head.meta)
        cells = [meta.get(name) for name in self._meta_names]
        if head.data is None or head.fault is not None:
            data: Any = None
        else:
            shown_json = self._show(head.data)
            data = from_json(field_mask(shown_json, self._fields) if self._fields else shown_json)
        cells += [_value_at(data, path) for path in self._data_paths]
        return _join(cells)

    def render(self, heads: Sequence[Head]) -> bytes:
        """Return a table with a header."""
        return self.header + b"".join(map(self.row, heads))


def _join(cells: Sequence[Any]) -> bytes:
    # Readers skip an empty line, so that a lone null would be no row.
    line = ",".join(map(_cell, cells)) or '""'
    return f"{line}\r\n".encode()


def _cell(value: Any) -> str:
    """Return a value as a cell. Null is empty, and an empty text is quoted."""
    if value is None:
        return ""
    if isinstance(value, bool | dict | list | float):
        return _quote(to_json(value, inf_nan_mode="constants").decode())
    text = str(value)
    if isinstance(value, str) and text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return _quote(text) if text else '""'


def _quote(text: str) -> str:
    """Return a text in quotes if it has a separator of any spreadsheet or a quote, or a space at an end."""
    is_plain = text.strip() == text and not any(char in text for char in '",;\t\r\n')
    return text if is_plain else '"{}"'.format(text.replace('"', '""'))


def _value_at(data: Any, path: _Path) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _is_selected(path: _Path, tree: Tree) -> bool:
    """Return True if a field mask keeps a column, or a part of it."""
    for name in path:
        if not tree:
            return True
        if name not in tree:
            return False
        tree = tree[name]
    return True


def _data_paths(schema: Any, definitions: Mapping[str, Any], path: _Path) -> Iterator[_Path]:
    """Yield the path of each column of the data, in the order of the schema."""
    members = None if len(path) >= _MAX_DEPTH else _members(schema, definitions)
    if members is None:
        yield path
        return
    for name, part in members.items():
        yield from _data_paths(part, definitions, (*path, name))


def _members(schema: Any, definitions: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any] | None:
    """Return the schemas of an object's members; None if the value is no object with a fixed set of members."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if "$ref" in schema:
        return _members(definitions.get(schema["$ref"].rpartition("/")[2]), definitions, depth + 1)
    options = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if len(options) == 1:
        return _members(options[0], definitions, depth + 1)
    has_fixed_members = schema.get("type") == "object" and not schema.get("additionalProperties")
    return schema.get("properties") or None if has_fixed_members else None
