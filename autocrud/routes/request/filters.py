"""Filters in the query string: `age=3`, `age__gte=18`, `status__in=a,b` for each index field, and `qb=` for more."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import StringConstraints, TypeAdapter

from autocrud.query import parser, regex
from autocrud.query.conditions import Condition, all_of
from autocrud.query.operators import Meaning, Operator, Takes
from autocrud.query.parser import parse_expression
from autocrud.query.resolver import MAX_VALUES, Resolver
from autocrud.routes.request.query_parameters import Parameter
from autocrud.schema.column_types import MAX_TEXT_BYTES
from autocrud.schema.index_field import FilterBounds, IndexField, non_null

# Parameters of routes that filter. A field of such a name is asked for as `limit__eq`.
RESERVED = frozenset(
    {
        "at", "blobs", "count", "cursor", "dry_run", "expand", "fields", "group_by", "history", "include_deleted",
        "limit", "metrics", "q", "qb", "returns", "sort",
    }
)  # fmt: skip
_SEVERAL = {Takes.values, Takes.items, Takes.pair}
_TEXT = {"type": "string", "maxLength": MAX_TEXT_BYTES, "pattern": r"^[^\x00]*$"}
_SHOWN: dict[Takes, dict[str, Any]] = {
    Takes.text: _TEXT,
    Takes.pattern: {**_TEXT, "maxLength": regex.MAX_LENGTH},
    Takes.flag: {"type": "boolean"},
}

QB = Parameter(
    "qb",
    Annotated[str, StringConstraints(min_length=1, max_length=parser.MAX_LENGTH)],
    None,
    "A condition on index fields, which combine by `&`, `|` and `~`; Python's comparisons will do, too.",
    'QB["version"].gte(2) & ~(QB["created_by"] == "ada")',
)


class Filters:
    """The filters of one model's index fields: what is taken from a query string, and what OpenAPI shows of it.

    Args:
        label: of the model, to name what OpenAPI shows.
    """

    def __init__(self, resolver: Resolver, label: str) -> None:
        self._resolver = resolver
        self._label = label

    @property
    def names(self) -> str:
        """The fields that there are, for people."""
        return self._resolver.names

    def takes(self, name: str) -> bool:
        """Whether a parameter of this name is a filter.

        Raises:
            InvalidParameter: it has a field's name, and no operator of it.
        """
        return name not in RESERVED and self._resolver.parameter(name) is not None

    def takes_several(self, name: str) -> bool:
        """Whether a filter may be given more than once, each time with more values."""
        found = self._resolver.parameter(name)
        return found is not None and self._resolver.meanings(found[0])[found[1]].takes in _SEVERAL

    def condition(self, texts: Mapping[str, Sequence[str]], expression: str | None) -> Condition | None:
        """What filters, by their names, and an expression ask for together; None where they ask for nothing.

        Raises:
            InvalidParameter: a value, or the expression, cannot be read.
        """
        asked: list[Condition] = [self._resolver.compare(name, *values) for name, values in texts.items()]
        return all_of(*asked, *([] if expression is None else [parse_expression(expression)]))

    def documented(self) -> dict[str, dict[str, Any]]:
        """The filters as OpenAPI's parameters, by names for its components."""
        resolver = self._resolver
        shown = [part for name in resolver.fields for part in _of_field(resolver, name)]
        for reference, target in resolver.targets.items():
            shown += [part for name in target.own for part in _of_field(target, name, reference)]
        return {_component(f"{self._label}.{part['name']}"): part for part in shown}


def _of_field(resolver: Resolver, name: str, reference: str | None = None) -> Iterator[dict[str, Any]]:
    """The filters of one field, which may be that of another model that a reference leads to."""
    schema, bare = _schema_of(resolver.fields[name]), resolver.bare_operator(name)
    path, whose = name, f"`{name}`"
    if reference is not None:
        path, whose = f"{reference}.{name}", f"`{reference}` leads to one whose `{name}`"
    for operator, meaning in resolver.operators[name].items():
        is_bare = operator is bare and path not in RESERVED
        yield {
            "name": path if is_bare else f"{path}__{operator.value}",
            "in": "query",
            "required": False,
            "description": f"Only resources whose {whose} {meaning.says}.",
            **_shown(operator, meaning, schema),
        }


def _component(name: str) -> str:
    """A name that OpenAPI allows for a component."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: f"-{ord(found[0]):x}-", name)


def _schema_of(field: IndexField) -> dict[str, Any]:
    """The JSON schema of a field's values; null is asked for by `is_null`."""
    annotation: Any = Annotated[non_null(field.annotation), FilterBounds()]
    schema = TypeAdapter(annotation).json_schema()
    definitions = schema.pop("$defs", {})
    return {name: part for name, part in _inlined(schema, definitions).items() if name not in ("title", "default")}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema with what it refers to in its place: these are scalars, so that it ends."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {name: _inlined(part, definitions) for name, part in schema.items()}
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    return schema


def _shown(operator: Operator, meaning: Meaning, schema: dict[str, Any]) -> dict[str, Any]:
    if meaning.takes not in _SEVERAL:
        return {"schema": _SHOWN.get(meaning.takes, schema)}
    least, most = (2, 2) if meaning.takes is Takes.pair else (1, MAX_VALUES)
    return {
        "schema": {"type": "array", "items": schema, "minItems": least, "maxItems": most},
        "style": "form",
        "explode": False,
    }
