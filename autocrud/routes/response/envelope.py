"""The envelope: `{"data": …, "meta": …, "revision_info": …}`, put together from stored JSON without parsing it."""

from collections.abc import Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.request.etag import etag, is_known
from autocrud.routes.request.field_mask import Tree, field_mask
from autocrud.routes.request.query_parameters import PARTS, prefers_minimal
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.stored_resource import Resource


class JsonResponse(Response):
    """A response of bytes that are JSON already. Header names are given in lower case, values in ASCII.

    Starlette's own constructor looks through the headers for what it might have to add; here it is known.
    """

    def __init__(self, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.body = content
        self.background = None
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        if headers:
            self.raw_headers += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def envelope(resource: Resource[Any], returns: AbstractSet[str], fields: Tree) -> bytes:
    """The JSON of one resource, cut to the parts, and its data to the fields, that are asked for."""
    head = resource.head
    if head.data is None:  # as of a time whose data has been pruned
        returns, data = returns - {"data"}, b""
    else:
        data = field_mask(head.data, fields) if fields else head.data
    if len(returns) == len(PARTS):
        return b'{"data":%s,"meta":%s,"revision_info":%s}' % (data, head.meta, head.revision_info)
    parts = {"data": data, "meta": head.meta, "revision_info": head.revision_info}
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), parts[name]) for name in PARTS if name in returns)


def read_response(request: Request, resource: Resource[Any], values: Mapping[str, Any]) -> Response:
    """A response with one resource and its ETag; 304 where the client has this state already (RFC 9110, 15.4.5)."""
    headers = {"etag": etag(resource.tag)}
    if is_known(request, resource.tag):
        return Response(status_code=304, headers=headers)
    return JsonResponse(envelope(resource, values["returns"], values["fields"]), 200, headers)


def written_response(
    request: Request, resource: Resource[Any], values: Mapping[str, Any], location: str | None = None
) -> Response:
    """A response with what became of a resource; with nothing in it where the client prefers that (RFC 7240).

    Args:
        location: of a resource that was created, for a 201.
    """
    headers = {"etag": etag(resource.tag)}
    if location is not None:
        headers["location"] = location
    if prefers_minimal(request):
        headers["preference-applied"] = "return=minimal"
        return Response(status_code=204, headers=headers) if location is None else JsonResponse(b"{}", 201, headers)
    status = 200 if location is None else 201
    return JsonResponse(envelope(resource, values["returns"], values["fields"]), status, headers)


# One class for each model, so that OpenAPI has one name for it.
_ENVELOPES: MutableMapping[ModelSpec[Any], type[BaseModel]] = WeakKeyDictionary()


def envelope_model(spec: ModelSpec[Any]) -> type[BaseModel]:
    """The envelope of one model, for OpenAPI. Parts that `returns` leaves out are absent."""
    if spec not in _ENVELOPES:
        _ENVELOPES[spec] = _envelope_model(spec)
    return _ENVELOPES[spec]


def _envelope_model(spec: ModelSpec[Any]) -> type[BaseModel]:
    return create_model(
        f"{spec.label}Resource",
        __doc__=f"A {spec.label} with its metadata and its current revision, cut by `returns`.",
        data=(spec.model, Field(default=None, json_schema_extra=without_default)),
        meta=(ResourceMeta, Field(default=None, json_schema_extra=without_default)),
        revision_info=(RevisionInfo, Field(default=None, json_schema_extra=without_default)),
    )


def page_model(spec: ModelSpec[Any], item: type[BaseModel]) -> type[BaseModel]:
    """A page of one model, for OpenAPI."""
    return create_model(
        f"{spec.label}Page",
        __doc__=f"A page of {spec.label} resources, newest first.",
        items=(list[item], ...),  # type: ignore[valid-type]  # the model is made at run time
        next_cursor=(str | None, Field(description="Give it as `cursor` for the next page; null on the last one.")),
        total=(
            int,
            Field(
                default=None,
                description="The items of all pages, where `count=exact` is given.",
                json_schema_extra=without_default,
            ),
        ),
    )


def without_default(schema: dict[str, Any]) -> None:
    """A part is either there or absent, never null: the default is not part of the contract."""
    schema.pop("default", None)
