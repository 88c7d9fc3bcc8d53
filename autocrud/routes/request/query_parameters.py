"""Query parameters and headers: one declaration of each, for reading requests and for OpenAPI."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Protocol
from urllib.parse import parse_qsl

from fastapi import Header, Path, Query, Request
from pydantic import AwareDatetime, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema

from autocrud.errors import InvalidParameter
from autocrud.manager.queries import MAX_LIMIT
from autocrud.query.conditions import Condition
from autocrud.resource import RevisionStatus
from autocrud.routes.request.field_mask import Tree, check_paths, parse_paths, paths_pattern


def _keyword_only(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


REQUIRED: Any = object()


@dataclass(frozen=True)
class Parameter:
    """A query parameter.

    Args:
        kind: type of the value, with Pydantic's constraints.
        convert: turns the checked value into the form that the route uses; may raise ValueError.
        openapi_type: type in OpenAPI if it differs from `kind`.
    """

    name: str
    kind: Any
    default: Any
    description: str
    example: Any = None
    convert: Callable[[Any], Any] = lambda value: value
    openapi_type: Any = None

    # Built on first use, because few parameters of a process are used.
    _adapter = cached_property[TypeAdapter[Any]](lambda self: TypeAdapter(self.kind))

    def read(self, raw: str) -> Any:
        """Return the checked and converted value of a text from the query string.

        Raises:
            InvalidParameter: the text is not a value of the parameter.
        """
        try:
            return self.convert(self._adapter.validate_strings(raw))
        except ValidationError as error:
            raise InvalidParameter(self.name, error.errors()[0]["msg"]) from error
        except ValueError as error:
            raise InvalidParameter(self.name, str(error)) from error

    def to_openapi(self) -> inspect.Parameter:
        """Return the parameter in the form from which FastAPI builds OpenAPI."""
        examples = [] if self.example is None else [self.example]
        query = Query(alias=self.name, description=self.description, examples=examples)
        default = inspect.Parameter.empty if self.default is REQUIRED else self.default
        return _keyword_only(f"{self.name}_", Annotated[self.openapi_type or self.kind, query], default)


def choices_parameter(
    name: str, choices: str, default: str | None, description: str, example: str, *, most: int = 8
) -> Parameter:
    """Return a query parameter of one to `most` names, separated by commas.

    OpenAPI shows the names. Requests are checked by the caller, whose message can name the wrong value.

    Args:
        choices: pattern of a name.
    """
    pattern = f"^{choices}(,{choices}){{0,{most - 1}}}$" if most > 1 else f"^{choices}$"
    text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    return Parameter(name, text, default, description, example, openapi_type=_described_text(pattern))


def _described_text(pattern: str) -> Any:
    """Return the type of a text with a pattern that is for the document only, and may be of any size."""
    return Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 2000, "pattern": pattern})]


PARTS = ("data", "meta", "revision_info")
_PARTS_PATTERN = rf"^({'|'.join(PARTS)})(,({'|'.join(PARTS)}))*$"

RETURNS = Parameter(
    "returns",
    Annotated[str, StringConstraints(pattern=_PARTS_PATTERN, max_length=200)],
    ",".join(PARTS),
    "Parts of the envelope to return, separated by commas.",
    "data,meta",
    lambda value: frozenset(value.split(",")),
)
INCLUDE_DELETED = Parameter("include_deleted", bool, False, "Include soft-deleted resources.")
RAW = Parameter(
    "raw",
    bool,
    False,
    "Return data as it is stored, with the names and the schema version that it was written with.",
)
LIMIT = Parameter(
    "limit",
    Annotated[int, Query(ge=1, le=MAX_LIMIT)],
    20,
    f"Maximum number of items on the page, from 1 to {MAX_LIMIT}.",
    20,
)
CURSOR = Parameter(
    "cursor",
    Annotated[str, Query(min_length=1)],
    None,
    "The `next_cursor` of the previous page. Send the same filters with it.",
)

_ID_PATTERN = "[A-Za-z0-9][A-Za-z0-9._~-]{0,127}"
REVISION_PATTERN = rf"^({_ID_PATTERN}:)?[1-9][0-9]{{0,17}}$"
_Revision = Annotated[str, Query(pattern=REVISION_PATTERN)]


def revision_parameter(name: str, description: str, *, required: bool = False) -> Parameter:
    """Return a query parameter that names a revision by its id or number."""
    return Parameter(name, _Revision, REQUIRED if required else None, description, "2")


_TIME = re.compile(r"[0-9]{4}(-[0-9]{2}){2}[Tt ][0-9]{2}(:[0-9]{2}){2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def time_parameter(name: str, description: str) -> Parameter:
    """Return a query parameter that is a time (RFC 3339)."""
    openapi_type = Annotated[AwareDatetime, WithJsonSchema({"type": "string", "format": "date-time"})]
    return Parameter(name, str, None, description, "2026-01-02T03:04:05Z", _parse_time, openapi_type)


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    # `fromisoformat` also accepts dates, weeks and times without an offset, which are not RFC 3339.
    if not _TIME.fullmatch(text):
        raise ValueError(
            "must be a time with an offset from UTC, such as 2026-01-02T03:04:05Z; write + as %2B in a URL"
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be from the year 1 to 9999 in UTC") from error


def _parse_fields(text: str | None) -> Tree:
    return {} if text is None else parse_paths(text)


_FIELDS_PATTERN = r"^\s*[^,.\s]+(\.[^,.\s]+)*\s*(,\s*[^,.\s]+(\.[^,.\s]+)*\s*)*$"
FIELDS = Parameter(
    "fields",
    Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=_FIELDS_PATTERN)],
    None,
    "Fields of the data to return, as paths separated by commas: `title,address.city,cast.0`.",
    convert=_parse_fields,
)
AT = time_parameter("at", "Return the state as of this point in time.")
REVISION = revision_parameter("revision_id", "Return this revision instead of the current one; an id or a number.")


class WriteMode(StrEnum):
    """Effect of a write on the revisions."""

    update = "update"
    modify = "modify"


MODE = Parameter(
    "mode",
    WriteMode,
    WriteMode.update,
    "`update` appends a revision. `modify` edits the current revision in place; it must be a draft.",
)
CHANGE_STATUS = Parameter(
    "change_status",
    RevisionStatus,
    None,
    "Status of the revision. If the data does not change, the current revision gets this status.",
)

RESOURCE_ID = inspect.Parameter(
    "resource_id",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        Path(
            description="Id of the resource.",
            pattern=f"^{_ID_PATTERN}$",
            examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"],
        ),
    ],
)


def header(name: str, description: str, example: str, pattern: str | None = None, kind: Any = str) -> inspect.Parameter:
    """Return a header in the form from which FastAPI builds OpenAPI."""
    marker = Header(alias=name, description=description, examples=[example], pattern=pattern)
    return _keyword_only(name.lower().replace("-", "_"), Annotated[kind, marker], None)


_TAGS_PATTERN = r'^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$'
IF_MATCH = header(
    "If-Match",
    "Write only if the resource's `ETag` is in this list; otherwise the response is 412.",
    '"3-20260102030405000000"',
    _TAGS_PATTERN,
)
IF_NONE_MATCH = header(
    "If-None-Match",
    "Return 304 without a body if the resource's `ETag` is in this list.",
    '"3-20260102030405000000"',
    _TAGS_PATTERN,
)
PREFER = header("Prefer", "`return=minimal` asks for a response without the resource (RFC 7240).", "return=minimal")


def prefers_minimal(request: Request) -> bool:
    """Return True if the client prefers a response without a body (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    names = [item.partition(";")[0].replace(" ", "").replace('"', "") for item in preferences]
    # Of preferences of one name the first counts (RFC 7240, 2).
    return next((item for item in names if item.startswith("return=")), "") == "return=minimal"


class FilterReader(Protocol):
    """The interface of `Filters`, the filters of one model's index fields."""

    @property
    def field_names(self) -> str: ...

    def is_filter(self, name: str) -> bool: ...

    def is_list_filter(self, name: str) -> bool: ...

    def parse_condition(self, texts: Mapping[str, Sequence[str]], expression: str | None) -> Condition | None: ...


class QueryReader:
    """Reads the query string of one route. Unknown parameters are refused, so that a typing error is noticed.

    Args:
        filters: filters that the route accepts in addition to the parameters.
        schema: JSON schema of the data, against which the paths of `fields` are checked.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        filters: FilterReader | None = None,
        *,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        self._schema = schema or {}
        if schema is not None:
            fields_type = _described_text(paths_pattern(schema))
            parameters = [
                replace(item, openapi_type=fields_type) if item.name == FIELDS.name else item for item in parameters
            ]
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._filters = filters
        self._required = [parameter.name for parameter in parameters if parameter.default is REQUIRED]
        optional = [parameter for parameter in parameters if parameter.default is not REQUIRED]
        self._defaults = {parameter.name: parameter.convert(parameter.default) for parameter in optional}

    def read(self, request: Request) -> tuple[dict[str, Any], Condition | None]:
        """Return the values of the parameters, defaults included, and the condition of the filters and `qb`.

        Raises:
            InvalidParameter: a parameter is unknown, repeated, missing or malformed.
        """
        query = request.scope["query_string"]
        # Most reads of one resource have no query string.
        if not query and not self._required:
            return self._defaults, None
        values, texts = dict(self._defaults), dict[str, list[str]]()
        seen_names = set()
        for name, raw in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in seen_names and not (name in texts and self._filters and self._filters.is_list_filter(name)):
                raise InvalidParameter(name, "must not be given more than once")
            seen_names.add(name)
            if name in self._parameters:
                values[name] = self._parameters[name].read(raw)
                if name == FIELDS.name:
                    check_paths(values[name], self._schema)
            elif self._filters is not None and self._filters.is_filter(name):
                texts.setdefault(name, []).append(raw)
            else:
                raise InvalidParameter(name, self._unknown_message())
        for name in self._required:
            if name not in seen_names:
                raise InvalidParameter(name, "must be given")
        return values, None if self._filters is None else self._filters.parse_condition(texts, values.get("qb"))

    def to_openapi(self) -> list[inspect.Parameter]:
        """Return the parameters in the form from which FastAPI builds OpenAPI, without the filters."""
        return [parameter.to_openapi() for parameter in self._parameters.values()]

    def _unknown_message(self) -> str:
        parameter_names = ", ".join(self._parameters) or "none"
        if self._filters is None:
            return f"is not a parameter of this route. Parameters: {parameter_names}"
        return (
            f"is neither a parameter of this route nor an index field. Parameters: {parameter_names}. Index fields:"
            f" {self._filters.field_names}"
        )


def next_page(request: Request, path: str, cursor: str) -> str:
    """Return the URL of the next page: the URL of the request with another cursor."""
    # Not decoded: the other parameters must come back exactly as the client encoded them.
    query: str = request.scope["query_string"].decode("latin-1")
    other_parts = [part for part in query.split("&") if part and not part.startswith("cursor=")]
    return f"{request.scope.get('root_path', '')}{path}?{'&'.join([*other_parts, f'cursor={cursor}'])}"
