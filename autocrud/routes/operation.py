"""An operation of one model: what OpenAPI shows of it, and the handler that serves it."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from fastapi import Body, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from autocrud.manager import ResourceManager
from autocrud.model import ModelSpec
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.envelope import envelope_model
from autocrud.routes.examples import example_of
from autocrud.routes.problems import MEDIA_TYPE, STATUSES

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Documented:
    """An endpoint with the signature that OpenAPI is to show, in front of a handler that takes the bare request.

    FastAPI would read each parameter of each request through the signature, and the body through Python objects; the
    handler reads only what is there, and passes the body on as bytes.

    Args:
        allow: all methods of the path, of which this endpoint serves one.
    """

    def __init__(self, handler: Handler, parameters: Sequence[inspect.Parameter], allow: set[str]) -> None:
        self.handler = handler
        self.allow = allow
        self.__signature__ = inspect.Signature(parameters)
        self.__doc__ = handler.__doc__

    async def __call__(self, **_: Any) -> Response:
        raise TypeError("a documented endpoint is served by its handler")


class OperationRoute(APIRoute):
    """The route of a `Documented` endpoint. Dependencies, where there are any, are solved by FastAPI as usual."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As usual, but for paths of other models by far the quicker: routes are matched one after the other."""
        if self.path_format.partition("{")[0] not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As usual, but what is not allowed is told what is, on the whole path (RFC 9110, 15.5.6)."""
        if scope["method"] not in (self.methods or ()):
            endpoint: Documented = self.endpoint  # type: ignore[assignment]  # made by no other class
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(endpoint.allow))})
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Handler:
        endpoint: Documented = self.endpoint  # type: ignore[assignment]  # made by no other class
        if not self.dependencies:
            return endpoint.handler

        async def guarded(request: Request) -> Response:
            return await endpoint.handler(request)

        gate = APIRoute(
            self.path,
            guarded,
            methods=self.methods,
            response_model=None,
            dependencies=self.dependencies,
            dependency_overrides_provider=self.dependency_overrides_provider,
        )
        return gate.get_route_handler()


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation documents, and the ones that any may meet."""
    titles: dict[int, list[str]] = {}
    for kind, (status, title) in STATUSES.items():
        titles.setdefault(status, []).append(f"{title} (`{kind.code}`)")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": "; ".join(titles[status]) + ".", "content": content} for status in statuses
    }
    return {**found, "default": {"description": "Any other problem.", "content": content}}


@dataclass(frozen=True)
class Operation:
    """One operation of one model.

    Args:
        family: what `add_model(routes=…)` names it by.
        path: behind the model's own path, as in `/{resource_id}`.
        model: of the success response's body; None where that is empty.
        example: of the success response's body.
        headers: that the success response carries.
        refusals: the statuses of the problems that are its own.
        creates: whether it may also answer 201, as a creation does.
    """

    family: str
    method: str
    path: str
    handler: Handler
    parameters: Sequence[inspect.Parameter]
    summary: str
    status: int = 200
    model: type[Any] | None = None
    example: Any = None
    headers: Sequence[str] = ()
    refusals: Sequence[int] = ()
    creates: bool = False

    def responses(self) -> dict[int | str, dict[str, Any]]:
        """What OpenAPI shows of the answers."""
        success: dict[str, Any] = {}
        if self.example is not None:
            success["content"] = {"application/json": {"example": self.example}}
        if self.headers:
            success["headers"] = {name: {"schema": {"type": "string"}} for name in self.headers}
        found: dict[int | str, dict[str, Any]] = {self.status: success, **problems(*self.refusals)}
        if self.creates:
            headers = {name: {"schema": {"type": "string"}} for name in ("Location", "ETag")}
            found[201] = {"description": "Created.", "model": self.model, **success, "headers": headers}
        return found


@dataclass(frozen=True)
class ModelRoutes:
    """What the operations of one model have in common.

    Args:
        path: the collection's, as in `/v1/movie`.
        max_body_bytes: longer bodies are refused.
    """

    manager: ResourceManager[Any]
    path: str
    max_body_bytes: int

    @property
    def spec(self) -> ModelSpec[Any]:
        """The model."""
        return self.manager.spec

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
        stored = example_of(self.spec.adapter.json_schema(mode="serialization"))
        meta = example_of(ResourceMeta.model_json_schema(mode="serialization"))
        revision = example_of(RevisionInfo.model_json_schema(mode="serialization"))
        return {"data": stored, "meta": meta | {"is_deleted": False}, "revision_info": revision}

    def body(self) -> inspect.Parameter:
        """The model as a request body, for OpenAPI."""
        model: Any = self.spec.model
        annotation = Annotated[model, Body(examples=[self.example])]
        return inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
