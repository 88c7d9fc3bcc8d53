"""Parameters of the routes: each is declared once, and both read from the request and shown in OpenAPI from there."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import parse_qsl

from fastapi import Header, Path, Query, Request
from pydantic import AwareDatetime, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema

from autocrud.errors import InvalidParameter
from autocrud.manager.reader import MAX_LIMIT
from autocrud.query.conditions import Condition
from autocrud.resource import RevisionStatus
from autocrud.routes.request.field_mask import Tree, check_paths, parse_paths, paths_pattern


def _documented(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


REQUIRED: Any = object()


@dataclass(frozen=True)
class Parameter:
    """One query parameter.

    Args:
        kind: its type, with Pydantic's constraints.
        convert: makes of the checked value what the route works with.
        shown: its type in OpenAPI, where that says more than what is checked here.
    """

    name: str
    kind: Any
    default: Any
    description: str
    example: Any = None
    convert: Callable[[Any], Any] = lambda value: value
    shown: Any = None

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
        except ValueError as error:
            raise InvalidParameter(self.name, str(error)) from error

    def documented(self) -> inspect.Parameter:
        """As FastAPI shows it."""
        examples = [] if self.example is None else [self.example]
        query = Query(alias=self.name, description=self.description, examples=examples)
        default = inspect.Parameter.empty if self.default is REQUIRED else self.default
        return _documented(f"{self.name}_", Annotated[self.shown or self.kind, query], default)


def enumerated(
    name: str, names: Sequence[str], default: str | None, description: str, example: str, most: int = 8
) -> Parameter:
    """A query parameter that is some of these names, separated by commas; they are looked up by what it is for."""
    one = f"({'|'.join(map(re.escape, names))})"
    pattern = f"^{one}(,{one}){{0,{most - 1}}}$" if most > 1 else f"^{one}$"
    text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    shown = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=pattern)]
    return Parameter(name, text, default, description, example, shown=shown)


PARTS = ("data", "meta", "revision_info")
_PARTS_PATTERN = rf"^({'|'.join(PARTS)})(,({'|'.join(PARTS)}))*$"

RETURNS = Parameter(
    "returns",
    Annotated[str, StringConstraints(pattern=_PARTS_PATTERN, max_length=200)],
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

_ID_PATTERN = "[A-Za-z0-9][A-Za-z0-9._~-]{0,127}"
REVISION_PATTERN = rf"^({_ID_PATTERN}:)?[1-9][0-9]{{0,17}}$"
_Revision = Annotated[str, Query(pattern=REVISION_PATTERN)]


def revision_parameter(name: str, description: str, *, required: bool = False) -> Parameter:
    """A query parameter that names a revision, by its id or its number."""
    return Parameter(name, _Revision, REQUIRED if required else None, description, "2")


_TIME = re.compile(r"[0-9]{4}(-[0-9]{2}){2}[Tt ][0-9]{2}(:[0-9]{2}){2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def time_parameter(name: str, description: str) -> Parameter:
    """A query parameter that is a time (RFC 3339)."""
    shown = Annotated[AwareDatetime, WithJsonSchema({"type": "string", "format": "date-time"})]
    return Parameter(name, str, None, description, "2026-01-02T03:04:05Z", _time, shown)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    if not _TIME.fullmatch(text):
        raise ValueError("must be a time with its offset from UTC, as in 2026-01-02T03:04:05Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is beyond the years that there are") from error


def _tree(text: str | None) -> Tree:
    return {} if text is None else parse_paths(text)


_FIELDS_PATTERN = r"^\s*[^,.\s]+(\.[^,.\s]+)*\s*(,\s*[^,.\s]+(\.[^,.\s]+)*\s*)*$"
FIELDS = Parameter(
    "fields",
    Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=_FIELDS_PATTERN)],
    None,
    "Only these fields of the data, by paths separated by commas: `title,address.city,cast.0`.",
    convert=_tree,
)
AT = time_parameter("at", "As a reader would have seen it at this time.")
REVISION = revision_parameter("revision_id", "This revision in place of the current one, by its id or its number.")
MODE = Parameter(
    "mode",
    Literal["update", "modify"],
    "update",
    "`update` appends a revision, `modify` edits the current one in place, if it is a draft.",
)
CHANGE_STATUS = Parameter(
    "change_status",
    RevisionStatus,
    None,
    "The status of the revision. Where the data stays the same, the current revision moves to it.",
)

RESOURCE_ID = inspect.Parameter(
    "resource_id",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        Path(
            description="The resource's id.",
            pattern=f"^{_ID_PATTERN}$",
            examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"],
        ),
    ],
)


def header(name: str, description: str, example: str, pattern: str | None = None, kind: Any = str) -> inspect.Parameter:
    """A header as FastAPI shows it."""
    marker = Header(alias=name, description=description, examples=[example], pattern=pattern)
    return _documented(name.lower().replace("-", "_"), Annotated[kind, marker], None)


_TAGS_PATTERN = r'^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$'
IF_MATCH = header(
    "If-Match",
    "Only if the resource's `ETag` is one of these; 412 otherwise.",
    '"3-20260102030405000000"',
    _TAGS_PATTERN,
)
IF_NONE_MATCH = header(
    "If-None-Match",
    "304 and no body if the `ETag` is one of these.",
    '"3-20260102030405000000"',
    _TAGS_PATTERN,
)
PREFER = header("Prefer", "`return=minimal`: an answer with nothing in it (RFC 7240).", "return=minimal")


def prefers_minimal(request: Request) -> bool:
    """Whether the client would rather have no body (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    wanted = [item.partition(";")[0].replace(" ", "").replace('"', "") for item in preferences]
    return next((item for item in wanted if item.startswith("return=")), "") == "return=minimal"


class FilterReader(Protocol):
    """Reads what a query string asks of the fields of a model."""

    @property
    def names(self) -> str: ...

    def takes(self, name: str) -> bool: ...

    def takes_several(self, name: str) -> bool: ...

    def condition(self, texts: Mapping[str, Sequence[str]], expression: str | None) -> Condition | None: ...


class QueryReader:
    """Reads the query string of one route. What is not declared is refused, so that no typing error goes unseen.

    Args:
        filters: what is taken beside the parameters.
        schema: of the data, where the paths of a `fields` parameter must lead somewhere.
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
            shown = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=paths_pattern(schema))]
            parameters = [replace(item, shown=shown) if item.name == FIELDS.name else item for item in parameters]
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._filters = filters
        self._required = [parameter.name for parameter in parameters if parameter.default is REQUIRED]
        given = [parameter for parameter in parameters if parameter.default is not REQUIRED]
        self._defaults = {parameter.name: parameter.convert(parameter.default) for parameter in given}

    def read(self, request: Request) -> tuple[dict[str, Any], Condition | None]:
        """The parameters' values, defaults included, and what the filters and `qb` ask for.

        Raises:
            InvalidParameter: one is unknown, given twice, or not what it takes.
        """
        query = request.scope["query_string"]
        if not query and not self._required:
            return self._defaults, None
        values, texts = dict(self._defaults), dict[str, list[str]]()
        seen = set()
        for name, raw in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in seen and not (name in texts and self._filters and self._filters.takes_several(name)):
                raise InvalidParameter(name, "is given more than once")
            seen.add(name)
            if name in self._parameters:
                values[name] = self._parameters[name].read(raw)
                if name == FIELDS.name:
                    check_paths(values[name], self._schema)
            elif self._filters is not None and self._filters.takes(name):
                texts.setdefault(name, []).append(raw)
            else:
                raise InvalidParameter(name, self._unknown())
        for name in self._required:
            if name not in seen:
                raise InvalidParameter(name, "must be given")
        return values, None if self._filters is None else self._filters.condition(texts, values.get("qb"))

    def documented(self) -> list[inspect.Parameter]:
        """The parameters as FastAPI shows them, without the filters."""
        return [parameter.documented() for parameter in self._parameters.values()]

    def _unknown(self) -> str:
        known = ", ".join(self._parameters) or "none"
        if self._filters is None:
            return f"is not a parameter of this route; these are: {known}"
        return f"is neither a parameter of this route ({known}) nor an index field; these are: {self._filters.names}"


def next_page(request: Request, path: str, cursor: str) -> str:
    """The URL of the same list, from the cursor on."""
    query: str = request.scope["query_string"].decode("latin-1")
    kept = [part for part in query.split("&") if part and not part.startswith("cursor=")]
    return f"{request.scope.get('root_path', '')}{path}?{'&'.join([*kept, f'cursor={cursor}'])}"
