"""Endpoint `GET /{model}/{resource_id}/referrers`: list the resources that refer to a resource."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import Request
from pydantic import Field, StringConstraints
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.references.expand import Referrer, ReferrerPage
from autocrud.references.graph import Reference
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.patterns import any_of
from autocrud.routes.request.query_parameters import (
    CURSOR,
    INCLUDE_DELETED,
    LIMIT,
    RESOURCE_ID,
    RETURNS,
    Parameter,
    next_page,
)
from autocrud.routes.response.envelope import JsonResponse, answer_models, envelope, page_models

_REFERRER = {
    "model": (str, Field(examples=["movie"])),
    "field": (str, Field(examples=["director"])),
    "resource_id": (str, Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"])),
}
_PARTS = {"data": Any, "meta": ResourceMeta, "revision_info": RevisionInfo}
_ITEMS = answer_models("ReferringResource", "A resource with a reference to another one.", _PARTS, always=_REFERRER)
_PAGES = page_models("ReferrersPage", "A page of referrers, model by model and field by field, newest first.", _ITEMS)


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `referrers`, if readers of the model may see a referring model."""
    manager = routes.manager
    # A reader of this model must not learn the name of a model that the reader may not see.
    references = [reference for reference in manager.graph.incoming(routes.spec.name) if reference.shows_source]
    if not references:
        return
    query = routes.query([*_choice_parameters(references), LIMIT, CURSOR, RETURNS, INCLUDE_DELETED])

    async def fetch(request: Request) -> tuple[dict[str, Any], ReferrerPage]:
        values = query.read(request)[0]
        page = await manager.referrers(
            request.path_params["resource_id"],
            references=_select_references(references, values["model"], values["field"]),
            limit=values["limit"],
            cursor=values["cursor"],
            include_deleted=values["include_deleted"],
            max_bytes=routes.max_page_bytes,
        )
        return values, page

    async def referrers(request: Request) -> Response:
        """Return the resources that refer to this resource, model by model and field by field, newest first."""
        values, page = await fetch(request)
        items = b",".join(_render_item(item, values["returns"]) for item in page.items)
        if page.next_cursor is None:
            return JsonResponse(b'{"items":[%s],"next_cursor":null}' % items)
        path = f"{routes.path}/{request.path_params['resource_id']}/referrers"
        headers = {"link": f'<{next_page(request, path, page.next_cursor)}>; rel="next"'}
        return JsonResponse(b'{"items":[%s],"next_cursor":"%s"}' % (items, page.next_cursor.encode()), 200, headers)

    yield Operation(
        family="referrers",
        method="GET",
        path="/{resource_id}/referrers",
        handler=referrers,
        parameters=[RESOURCE_ID, *query.to_openapi()],
        summary=f"List the resources that refer to {routes.noun}",
        model=_PAGES.either,
        headers=("Link",),
        example=_build_example(routes, references[0]),
        refusals=(400, 404, 410),
        fetch=fetch,
    )


def _build_example(routes: ModelRoutes, reference: Reference) -> dict[str, Any]:
    resource_id = routes.envelope_example["meta"]["resource_id"]
    item = {"model": reference.source.name, "field": reference.field.name, "resource_id": resource_id}
    return {"items": [item], "next_cursor": None}


def _choice_parameters(references: Sequence[Reference]) -> list[Parameter]:
    """Return the parameters that select references by model and by field."""
    models = [reference.source.name for reference in references]
    fields = [reference.field.name for reference in references]
    return [
        _choice_parameter("model", "Only resources of this model.", models),
        _choice_parameter("field", "Only resources that refer by this field.", fields),
    ]


def _choice_parameter(name: str, description: str, values: Sequence[str]) -> Parameter:
    names = list(dict.fromkeys(values))
    pattern = f"^{any_of(names)}$"
    return Parameter(name, Annotated[str, StringConstraints(pattern=pattern)], None, description, names[0])


def _select_references(references: Sequence[Reference], model: str | None, field: str | None) -> list[Reference]:
    return [
        reference
        for reference in references
        if model in (None, reference.source.name) and field in (None, reference.field.name)
    ]


def _render_item(item: Referrer, returns: Any) -> bytes:
    names = {
        "model": item.reference.source.name,
        "field": item.reference.field.name,
        "resource_id": item.resource.resource_id,
    }
    parts = envelope(item.resource, returns, {})
    return b"%s,%s" % (to_json(names)[:-1], parts[1:])
