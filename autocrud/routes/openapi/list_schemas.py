"""Schemas of filters with several values, as texts separated by commas.

OpenAPI leaves undefined how an array inside an object is written in a query string (OpenAPI 3.1, Style Values). Client
generators refuse such arrays. So the members of a filter object are texts.
"""

from typing import Any

from autocrud.query.filter_values import MAX_VALUES
from autocrud.routes.openapi.components import Components
from autocrud.routes.openapi.partial_schemas import component_of
from autocrud.routes.request.patterns import any_of
from autocrud.schema.column_types import ColumnKind

_YEAR_MONTH_DAY = "[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]|29|30|31)"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
_OFFSET = "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
# A value without quotes and commas. A value in quotes may have both, as in CSV (RFC 4180).
_VALUES = {
    ColumnKind.text: r'([^\x00",]+|"([^\x00"]|"")*")',
    ColumnKind.integer: "-?[0-9]{1,18}",
    ColumnKind.real: "-?[0-9]+([.][0-9]+)?",
    ColumnKind.boolean: "(true|false)",
    ColumnKind.decimal: "-?[0-9]+([.][0-9]+)?",
    ColumnKind.datetime: f"{_YEAR_MONTH_DAY}T{_CLOCK}{_OFFSET}",
    ColumnKind.date: _YEAR_MONTH_DAY,
    ColumnKind.time: f"{_CLOCK}{_OFFSET}?",
    ColumnKind.uuid: "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}


def list_schema(kind: ColumnKind, value: dict[str, Any], components: Components, *, is_pair: bool) -> dict[str, Any]:
    """Return the schema of a text with several values.

    Args:
        value: schema of one value, or a reference to it. If it is an enum, the text has only its values.
        is_pair: True for exactly two values.
    """
    suffix = "Pair" if is_pair else "List"
    enum_name, enum = component_of(value), components.resolve(value).get("enum")
    pattern = _VALUES[kind] if enum is None else any_of(map(str, enum))
    may_have_commas = kind is ColumnKind.text if enum is None else any("," in str(choice) for choice in enum)
    if enum is not None and enum_name is None:
        return _build(pattern, is_pair=is_pair, may_have_commas=may_have_commas)
    name = f"Filter{kind.value.title()}" if enum is None else enum_name
    return components.add_schema(
        f"{name}{suffix}", lambda: _build(pattern, is_pair=is_pair, may_have_commas=may_have_commas)
    )


def _build(pattern: str, *, is_pair: bool, may_have_commas: bool) -> dict[str, Any]:
    count = "{1}" if is_pair else f"{{0,{MAX_VALUES - 1}}}"
    number = "Two" if is_pair else f"1 to {MAX_VALUES}"
    quoting = " Quote a value that has a comma." if may_have_commas else ""
    return {
        "type": "string",
        "description": f"{number} values, separated by commas.{quoting}",
        "pattern": f"^{pattern}(,{pattern}){count}$",
    }
