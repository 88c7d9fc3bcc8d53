"""Parameters of the routes: each is declared once, and both read from the request and shown in OpenAPI from there."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Header, Path, Query, Request
from pydantic import StringConstraints, TypeAdapter, ValidationError

from autocrud.errors import InvalidParameter
from autocrud.manager import MAX_LIMIT, Tags
from autocrud.routes.etag import parse_tags


def _documented(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


@dataclass(frozen=True)
class Parameter:
    """One query parameter.

    Args:
        kind: its type, with Pydantic's constraints.
        convert: makes of the checked value what the route works with.
    """

    name: str
    kind: Any
    default: Any
    description: str
    example: Any = None
    convert: Callable[[Any], Any] = lambda value: value

    def __post_init__(self) -> None:
        object.__setattr__(self, "_adapter", TypeAdapter(self.kind))

    def read(self, raw: str) -> Any:
        """Check and convert the text from the query string.

        Raises:
            InvalidParameter: it is not what the parameter takes.
        """
        adapter: TypeAdapter[Any] = self.__dict__["_adapter"]
        try:
            return self.convert(adapter.validate_strings(raw))
        except ValidationError as error:
            raise InvalidParameter(self.name, error.errors()[0]["msg"]) from error

    def documented(self) -> inspect.Parameter:
        """As FastAPI shows it."""
        examples = [] if self.example is None else [self.example]
        query = Query(alias=self.name, description=self.description, examples=examples)
        return _documented(self.name, Annotated[self.kind, query], self.default)


PARTS = ("data", "meta", "revision_info")
_PARTS_PATTERN = rf"^({'|'.join(PARTS)})(,({'|'.join(PARTS)}))*$"

RETURNS = Parameter(
    "returns",
    Annotated[str, StringConstraints(pattern=_PARTS_PATTERN)],
    ",".join(PARTS),
    "Which parts of the envelope come back, separated by commas.",
    "data,meta",
    lambda value: frozenset(value.split(",")),
)
INCLUDE_DELETED = Parameter("include_deleted", bool, False, "Also what is soft-deleted.")
LIMIT = Parameter(
    "limit", Annotated[int, Query(ge=1, le=MAX_LIMIT)], 20, f"The most items on the page, from 1 to {MAX_LIMIT}.", 20
)
CURSOR = Parameter(
    "cursor", Annotated[str, Query(min_length=1)], None, "The `next_cursor` of the page before, with the same filters."
)

RESOURCE_ID = inspect.Parameter(
    "resource_id",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        Path(
            description="The resource's id.",
            pattern="^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$",
            examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"],
        ),
    ],
)


def header(name: str, description: str, example: str, pattern: str) -> inspect.Parameter:
    """A header as FastAPI shows it."""
    marker = Header(alias=name, description=description, examples=[example], pattern=pattern)
    return _documented(name.lower().replace("-", "_"), Annotated[str, marker], None)


IF_MATCH = header(
    "If-Match",
    "Only if the resource's `ETag` is one of these; 412 otherwise.",
    '"3-20260102030405000000"',
    r'^\s*(\*|(W/)?"[!#-~]*"(\s*,\s*(W/)?"[!#-~]*")*)\s*$',
)


class QueryReader:
    """Reads the query string of one route. What is not declared is refused, so that no typing error goes unseen.

    Args:
        fields: names beyond the parameters that are taken as they are, for filters.
    """

    def __init__(self, parameters: Sequence[Parameter], fields: Sequence[str] = ()) -> None:
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._fields = frozenset(fields)
        self._defaults = {parameter.name: parameter.convert(parameter.default) for parameter in parameters}

    def read(self, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
        """The parameters' values, defaults included, and the filters' texts.

        Raises:
            InvalidParameter: one is unknown, given twice, or not what it takes.
        """
        query = request.scope["query_string"]
        if not query:
            return self._defaults, {}
        values, filters = dict(self._defaults), {}
        seen = set()
        for name, raw in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in seen:
                raise InvalidParameter(name, "is given more than once")
            seen.add(name)
            if name in self._parameters:
                values[name] = self._parameters[name].read(raw)
            elif name in self._fields:
                filters[name] = raw
            else:
                known = ", ".join((*self._parameters, *sorted(self._fields)))
                raise InvalidParameter(name, f"is not a parameter of this route; these are: {known}")
        return values, filters


def if_match(request: Request) -> Tags | None:
    """The tags of the If-Match header; None without one.

    Raises:
        InvalidParameter: it is malformed.
    """
    values = request.headers.getlist("if-match")
    return parse_tags("If-Match", ", ".join(values)) if values else None
