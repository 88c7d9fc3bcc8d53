"""An operation of one model: what OpenAPI shows of it, and the handler that serves it."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from fastapi import Body, Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from autocrud.manager.manager import ResourceManager
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.request.current_user import UserDependency, anonymous, note_user
from autocrud.routes.request.filters import Filters
from autocrud.routes.request.query_parameters import Parameter, QueryReader
from autocrud.routes.response.envelope import envelope_model
from autocrud.routes.response.problems import MEDIA_TYPE, STATUSES
from autocrud.routes.response.schema_examples import example_of
from autocrud.schema.model_spec import ModelSpec

ACCEPT_PATCH = "application/json-patch+json, application/merge-patch+json"
HEAD_ONLY = "autocrud.head"  # in the scope of a HEAD, whose answer's body nobody reads

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Documented:
    """An endpoint with the signature that OpenAPI is to show, in front of a handler that takes the bare request.

    FastAPI would read each parameter of each request through the signature, and the body through Python objects; the
    handler reads only what is there, and passes the body on as bytes.

    Args:
        allow: all methods of the path, of which this endpoint serves one.
        current_user: the dependency that tells who is asking.
    """

    def __init__(
        self, handler: Handler, parameters: Sequence[inspect.Parameter], allow: set[str], current_user: UserDependency
    ) -> None:
        self.handler = handler
        self.allow = allow
        self.current_user = current_user
        self.__signature__ = inspect.Signature(parameters)
        self.__doc__ = handler.__doc__

    async def __call__(self, **_: Any) -> Response:
        raise TypeError("a documented endpoint is served by its handler")


class OperationRoute(APIRoute):
    """The route of a `Documented` endpoint. Dependencies, where there are any, are solved by FastAPI as usual."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As usual, but for paths of other models by far the quicker: routes are matched one after the other.

        HEAD goes where GET does, and OPTIONS to the first route of the path.
        """
        if self.path_format.partition("{")[0] not in scope["path"]:
            return Match.NONE, {}
        match, child = super().matches(scope)
        if match is Match.PARTIAL and (scope["method"] == "OPTIONS" or self._is_head(scope)):
            match = Match.FULL
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As usual, but what is not allowed is told what is, on the whole path (RFC 9110, 15.5.6)."""
        if scope["method"] == "OPTIONS":
            headers = {"Allow": self._allowed()}
            if "PATCH" in self._documented.allow:
                headers["Accept-Patch"] = ACCEPT_PATCH
            await Response(status_code=204, headers=headers)(scope, receive, send)
            return
        if self._is_head(scope):
            scope, send = {**scope, "method": "GET", HEAD_ONLY: True}, _without_body(send)
        elif scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": self._allowed()})
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Handler:
        endpoint = self._documented

        async def guarded(request: Request, user: Any) -> Response:
            note_user(request, user)
            return await endpoint.handler(request)

        # FastAPI reads the dependency from the signature.
        guarded.__annotations__["user"] = Annotated[Any, Depends(endpoint.current_user)]
        gate = APIRoute(
            self.path,
            guarded,
            methods=self.methods,
            response_model=None,
            dependencies=self.dependencies,
            dependency_overrides_provider=self.dependency_overrides_provider,
        ).get_route_handler()
        if self.dependencies or endpoint.current_user is not anonymous:
            return gate
        overrides = self.dependency_overrides_provider

        async def serve(request: Request) -> Response:
            if overrides is not None and anonymous in overrides.dependency_overrides:
                return await gate(request)
            return await endpoint.handler(request)

        return serve

    @property
    def _documented(self) -> Documented:
        endpoint: Documented = self.endpoint  # type: ignore[assignment]  # made by no other class
        return endpoint

    def _is_head(self, scope: Scope) -> bool:
        return bool(scope["method"] == "HEAD" and "GET" in (self.methods or ()))

    def _allowed(self) -> str:
        allow = self._documented.allow
        return ", ".join(sorted(allow | {"OPTIONS"} | ({"HEAD"} if "GET" in allow else set())))


def _without_body(send: Send) -> Send:
    """A `send` that keeps the headers, those of the body's length and type too (RFC 9110, 9.3.2)."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation documents, and the ones that any may meet."""
    titles: dict[int, list[str]] = {}
    for kind, (status, title) in STATUSES.items():
        titles.setdefault(status, []).append(f"{title} (`{kind.code}`)")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": "; ".join(titles[status]) + ".", "content": content} for status in statuses
    }
    return {**found, "default": {"description": "Any other problem.", "content": content}}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation of one model.

    Args:
        family: route family, as in `add_model(routes=…)`.
        path: path below the model's path, such as `/{resource_id}`.
        parameters: parameters in OpenAPI, without the filters.
        request_body: request body in OpenAPI if it is not the model's JSON.
        filters: True if the operation accepts the filters of the model.
        status: status of the success response.
        model: model of the JSON body of the success response; None without one.
        headers: names of the headers of the success response.
        example: example of the JSON body of the success response.
        content: further media types of the success response, in the form of OpenAPI.
        other_statuses: statuses other than `status` that are no problems: 201, 204, 206, 304 or 307.
        refusals: statuses of the problems that are specific to the operation.
    """

    family: str
    method: str
    path: str
    handler: Handler
    parameters: Sequence[inspect.Parameter]
    request_body: dict[str, Any] | None = None
    filters: bool = False
    summary: str
    status: int = 200
    model: type[Any] | None = None
    headers: Sequence[str] = ()
    example: Any = None
    content: dict[str, Any] | None = None
    other_statuses: Sequence[int] = ()
    refusals: Sequence[int] = ()

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
    """What the operations of one model have in common.

    Args:
        path: the collection's, as in `/v1/movie`.
        max_body_bytes: longer bodies are refused.
        require_if_match: whether writes need a precondition.
        current_user: the dependency that tells who is asking.
        redirect_seconds: how long the URL of a blob works, to which a client is sent that wants it; 0 for none.
    """

    manager: ResourceManager[Any]
    path: str
    max_body_bytes: int
    require_if_match: bool = False
    current_user: UserDependency = anonymous
    redirect_seconds: int = 0

    @property
    def spec(self) -> ModelSpec[Any]:
        """The model."""
        return self.manager.spec

    @property
    def needs_if_match(self) -> str | None:
        """The model's name, where writes need a precondition."""
        return self.spec.name if self.require_if_match else None

    def guarded(self, *statuses: int) -> tuple[int, ...]:
        """The problems of a write, with the one that a missing precondition is."""
        return (*statuses, 428) if self.require_if_match else statuses

    def query(self, parameters: Sequence[Parameter], *, filters: bool = False) -> QueryReader:
        """A reader of these parameters, and of the model's filters where they are wanted."""
        return QueryReader(parameters, self.filters if filters else None, schema=self.stored_schema)

    @cached_property
    def filters(self) -> Filters:
        """The filters of the model's index fields."""
        return Filters(self.manager.fields, self.spec.label)

    def location(self, request: Request, resource_id: str) -> str:
        """Where a resource is, as the client sees it."""
        return f"{request.scope.get('root_path', '')}{self.path}/{resource_id}"

    @cached_property
    def stored_schema(self) -> dict[str, Any]:
        """The JSON schema of the data as it is stored."""
        return self.spec.adapter.json_schema(mode="serialization")

    @cached_property
    def envelope(self) -> type[BaseModel]:
        """The model's envelope, for OpenAPI."""
        return envelope_model(self.spec)

    @cached_property
    def example(self) -> Any:
        """An example body."""
        return example_of(self.spec.adapter.json_schema())

    @cached_property
    def envelope_example(self) -> Any:
        """An example envelope."""
        stored = example_of(self.stored_schema)
        meta = example_of(ResourceMeta.model_json_schema(mode="serialization"))
        revision = example_of(RevisionInfo.model_json_schema(mode="serialization"))
        return {"data": stored, "meta": meta | {"is_deleted": False}, "revision_info": revision}

    def body(self) -> inspect.Parameter:
        """The model as a request body, for OpenAPI."""
        model: Any = self.spec.model
        annotation = Annotated[model, Body(examples=[self.example])]
        return inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
