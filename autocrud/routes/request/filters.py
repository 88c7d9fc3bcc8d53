"""Filters in the query string: `age=3`, `age__gte=18`, `status__in=a,b` for index fields, `qb=` for expressions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter

from autocrud.query import parser, regex
from autocrud.query.conditions import Condition, all_of
from autocrud.query.operators import Operand, OperatorSpec
from autocrud.query.parser import parse_expression
from autocrud.query.resolver import MAX_VALUES, Resolver
from autocrud.routes.request.query_parameters import Parameter
from autocrud.schema.column_types import MAX_TEXT_BYTES
from autocrud.schema.index_field import FilterBounds, IndexField, non_null

# Parameters of routes with filters. An index field of such a name is filtered by `limit__eq`.
RESERVED = frozenset(
    {
        "at", "blobs", "count", "cursor", "dry_run", "expand", "fields", "group_by", "history", "include_deleted",
        "limit", "metrics", "q", "qb", "returns", "sort",
    }
)  # fmt: skip
_LIST_VALUED = {Operand.values, Operand.items, Operand.pair}
_TEXT = {"type": "string", "maxLength": MAX_TEXT_BYTES, "pattern": r"^[^\x00]*$"}
_SCHEMAS: dict[Operand, dict[str, Any]] = {
    Operand.text: _TEXT,
    Operand.pattern: {**_TEXT, "maxLength": regex.MAX_LENGTH},
    Operand.flag: {"type": "boolean"},
}

QB = Parameter(
    "qb",
    Annotated[str, StringConstraints(min_length=1, max_length=parser.MAX_LENGTH)],
    None,
    "A filter expression on index fields. Combine conditions with `&`, `|` and `~`; comparison operators such as"
    " `==` work, too.",
    'QB["version"].gte(2) & ~(QB["created_by"] == "ada")',
)


class Filters:
    """The filters of one model's index fields: read from a query string, and shown in OpenAPI.

    Args:
        label: the model's label, for the names of OpenAPI components.
    """

    def __init__(self, resolver: Resolver, label: str) -> None:
        self._resolver = resolver
        self._label = label

    @property
    def field_names(self) -> str:
        """Return the names of the index fields, as text for messages."""
        return self._resolver.names

    def is_filter(self, name: str) -> bool:
        """Return True if a parameter of this name is a filter.

        Raises:
            InvalidParameter: the name has an index field, but no operator of the field.
        """
        return name not in RESERVED and self._resolver.parameter(name) is not None

    def is_list_filter(self, name: str) -> bool:
        """Return True if a filter may be repeated, because it takes a list of values."""
        found = self._resolver.parameter(name)
        return found is not None and self._resolver.operators_of(found[0])[found[1]].takes in _LIST_VALUED

    def parse_condition(self, texts: Mapping[str, Sequence[str]], expression: str | None) -> Condition | None:
        """Return the condition of all filters and the `qb` expression together; None without any.

        Args:
            texts: the values of each filter, by its name.

        Raises:
            InvalidParameter: a value or the expression is malformed.
        """
        conditions: list[Condition] = [self._resolver.compare(name, *values) for name, values in texts.items()]
        return all_of(*conditions, *([] if expression is None else [parse_expression(expression)]))

    def to_openapi(self) -> dict[str, dict[str, Any]]:
        """Return the filters as OpenAPI parameters, by the names of their components."""
        resolver = self._resolver
        parameters = [part for name in resolver.fields for part in _field_parameters(resolver, name)]
        for reference, target in resolver.targets.items():
            parameters += [part for name in target.own_fields for part in _field_parameters(target, name, reference)]
        return {_component_name(f"{self._label}.{part['name']}"): part for part in parameters}


def _field_parameters(resolver: Resolver, name: str, reference: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the filters of one index field, or of a field of the model that a reference points to."""
    schema, bare = _schema_of(resolver.fields[name]), resolver.default_operator(name)
    path, subject = name, f"`{name}`"
    if reference is not None:
        path, subject = f"{reference}.{name}", f"`{reference}` refers to a resource whose `{name}`"
    for operator, meaning in resolver.operators[name].items():
        is_bare = operator is bare and path not in RESERVED
        yield {
            "name": path if is_bare else f"{path}__{operator.value}",
            "in": "query",
            "required": False,
            "description": f"Only resources whose {subject} {meaning.predicate}.",
            **_value_schema(meaning, schema),
        }


def _component_name(name: str) -> str:
    """Return a name with the characters escaped that OpenAPI forbids in the name of a component."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: f"-{ord(found[0]):x}-", name)


def _schema_of(field: IndexField) -> dict[str, Any]:
    """Return the JSON schema of a field's values, without null: the operator `is_null` selects nulls."""
    annotation: Any = Annotated[non_null(field.annotation), FilterBounds()]
    schema = TypeAdapter(annotation).json_schema()
    definitions = schema.pop("$defs", {})
    return {name: part for name, part in _inline_refs(schema, definitions).items() if name not in ("title", "default")}


def _inline_refs(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema with each `$ref` replaced by its definition. Index fields are scalars, so the recursion ends."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline_refs(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {name: _inline_refs(part, definitions) for name, part in schema.items()}
    if isinstance(schema, list):
        return [_inline_refs(part, definitions) for part in schema]
    return schema


def _value_schema(meaning: OperatorSpec, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema and the style of an operator's parameter; a list is separated by commas."""
    if meaning.takes not in _LIST_VALUED:
        return {"schema": _SCHEMAS.get(meaning.takes, schema)}
    least, most = (2, 2) if meaning.takes is Operand.pair else (1, MAX_VALUES)
    return {
        "schema": {"type": "array", "items": schema, "minItems": least, "maxItems": most},
        "style": "form",
        "explode": False,
    }
