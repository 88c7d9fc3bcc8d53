"""Operation of a model: its OpenAPI description and the handler that serves it."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any

from fastapi import Body, Request
from starlette.responses import Response

from autocrud.manager.manager import ResourceManager
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.authentication import Authentication
from autocrud.routes.openapi.document import Completion
from autocrud.routes.openapi.filter_parameters import FilterParameters, FilterStyle
from autocrud.routes.request.current_user import UserDependency, anonymous
from autocrud.routes.request.filters import Filters
from autocrud.routes.request.query_parameters import Parameter, QueryReader
from autocrud.routes.response.envelope import AnswerModels, envelope_models
from autocrud.routes.response.problems import problem_responses
from autocrud.routes.response.schema_examples import example_of
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.nouns import add_article, pluralize, to_noun
from autocrud.storage.ports.query_limit import QUERY_SECONDS

ACCEPT_MERGE = "application/merge-patch+json, application/json"
ACCEPT_PATCH = "application/json-patch+json, application/merge-patch+json"
MAX_PAGE_BYTES = 16 * 1024 * 1024
HEAD_ONLY = "autocrud.head"  # marks a HEAD in the ASGI scope, whose handler may leave out the body

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Fetch = Callable[[Request], Coroutine[Any, Any, Any]]


@cache
def metadata_examples() -> dict[str, Any]:
    """Return the parts of an envelope's example that all models share."""
    meta = example_of(ResourceMeta.model_json_schema(mode="serialization"))
    revision = example_of(RevisionInfo.model_json_schema(mode="serialization"))
    return {"meta": meta | {"is_deleted": False}, "revision_info": revision}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation of one model.

    Args:
        family: route family, as in `add_model(routes=…)`.
        path: path below the model's path, such as `/{resource_id}`.
        parameters: parameters in OpenAPI, without the filters.
        request_body: request body in OpenAPI if it is not the model's JSON.
        filters: True if the operation accepts the filters of the model.
        complete: completes the operation's object in the OpenAPI document.
        status: status of the success response.
        model: type of the JSON body of the success response; None without one.
        headers: names of the headers of the success response.
        example: example of the JSON body of the success response.
        content: further media types of the success response, in the form of OpenAPI.
        other_statuses: statuses other than `status` that are no problems: 200, 201, 204, 206, 304 or 307.
        refusals: statuses of the problems that are specific to the operation.
        fetch: reads the result that the handler answers with, for other representations of the answer.
        varies: True if `Accept` selects the media type of the answer.
    """

    family: str
    method: str
    path: str
    handler: Handler
    parameters: Sequence[inspect.Parameter]
    request_body: dict[str, Any] | None = None
    filters: bool = False
    complete: Completion | None = None
    summary: str
    status: int = 200
    model: Any = None
    headers: Sequence[str] = ()
    example: Any = None
    content: dict[str, Any] | None = None
    other_statuses: Sequence[int] = ()
    refusals: Sequence[int] = ()
    fetch: Fetch | None = None
    varies: bool = False

    def responses(self) -> dict[int | str, dict[str, Any]]:
        """Return the responses in the form of OpenAPI, by status."""
        json_content = {} if self.example is None else {"application/json": {"example": self.example}}
        success: dict[str, Any] = {}
        if content := {**json_content, **(self.content or {})}:
            success["content"] = content
        if self.headers:
            success["headers"] = _headers(*self.headers)
        return {self.status: success, **problem_responses(*self.refusals), **self._other_responses(success)}

    def _other_responses(self, success: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
        minimal = "Success without a body, because the request has `Prefer: return=minimal`."
        responses: dict[int | str, dict[str, Any]] = {
            200: {"description": "Success.", "model": self.model, **success, "headers": _headers("ETag")},
            201: {"description": "Created.", "model": self.model, **success, "headers": _headers("Location", "ETag")},
            204: {"description": minimal, "headers": _headers("ETag")},
            206: {"description": "The requested ranges of the bytes.", "content": success.get("content", {})},
            304: {"description": "The client has the current state already.", "headers": _headers("ETag")},
            307: {"description": "Redirect to a temporary URL of the bytes.", "headers": _headers("Location")},
        }
        return {status: responses[status] for status in self.other_statuses}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"type": "string"}} for name in names}


@dataclass(frozen=True, kw_only=True)
class ModelRoutes:
    """Common settings of a model's operations.

    Args:
        path: path of the collection, such as `/v1/movie`.
        max_body_bytes: maximum length of a request body.
        require_if_match: writes need a precondition.
        current_user: dependency that returns the current user.
        authentication: authentication of the routes; None if anybody may use them.
        permits_anonymous: a rule of the model permits something without credentials.
        redirect_seconds: lifetime of a blob's URL for redirects; 0 turns redirects off.
        max_page_bytes: size of the data at which a page ends.
        query_seconds: time limit of each query, after which it is cancelled.
        filter_style: form of the filters in OpenAPI.
        families: route families of the model; None for all.
    """

    manager: ResourceManager[Any]
    path: str
    max_body_bytes: int
    require_if_match: bool = False
    current_user: UserDependency = anonymous
    authentication: Authentication | None = None
    permits_anonymous: bool = False
    redirect_seconds: int = 0
    query_seconds: float = QUERY_SECONDS
    max_page_bytes: int = MAX_PAGE_BYTES
    filter_style: FilterStyle = FilterStyle.compact
    families: frozenset[str] | None = None

    @property
    def spec(self) -> ModelSpec[Any]:
        """Spec of the model."""
        return self.manager.spec

    @cached_property
    def noun(self) -> str:
        """Noun of a resource with its article, such as "a movie"."""
        return add_article(to_noun(self.spec.label))

    @cached_property
    def nouns(self) -> str:
        """Plural noun of the resources, such as "movies"."""
        return pluralize(to_noun(self.spec.label))

    @property
    def needs_if_match(self) -> str | None:
        """Name of the model if writes need a precondition, else None."""
        return self.spec.name if self.require_if_match else None

    def write_refusals(self, *statuses: int) -> tuple[int, ...]:
        """Return the statuses of a write's problems, with 428 if writes need a precondition."""
        return (*statuses, 428) if self.require_if_match else statuses

    def query(self, parameters: Sequence[Parameter], *, filters: bool = False) -> QueryReader:
        """Return a reader of these parameters, and of the model's filters if `filters` is set."""
        return QueryReader(parameters, self.filters if filters else None, schema=self.shown_schema)

    @cached_property
    def filters(self) -> Filters:
        """Filters of the model's index fields."""
        return Filters(self.manager.fields)

    @cached_property
    def filter_parameters(self) -> FilterParameters:
        """Filters of the model in OpenAPI."""
        return FilterParameters(self.manager.fields, self.spec.label, self.filter_style)

    def location(self, request: Request, resource_id: str) -> str:
        """Return the URL path of a resource as the client sees it."""
        return f"{request.scope.get('root_path', '')}{self.path}/{resource_id}"

    @cached_property
    def shown_schema(self) -> dict[str, Any]:
        """JSON schema of the data in answers."""
        return self.spec.adapter.json_schema(mode="serialization")

    @cached_property
    def envelopes(self) -> AnswerModels:
        """Models of the envelope, for OpenAPI."""
        return envelope_models(self.spec)

    @cached_property
    def example(self) -> Any:
        """Example of a request body."""
        return example_of(self.spec.adapter.json_schema())

    @cached_property
    def envelope_example(self) -> Any:
        """Example of an envelope."""
        stored = example_of(self.shown_schema)
        return {"data": stored, **metadata_examples()}

    def body(self, media_type: str = "application/json") -> inspect.Parameter:
        """Return the model as a request body, for OpenAPI."""
        model: Any = self.spec.model
        annotation = Annotated[model, Body(media_type=media_type, examples=[self.example])]
        return inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
