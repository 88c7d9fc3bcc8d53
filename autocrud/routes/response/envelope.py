"""Envelope: builds `{"data": …, "meta": …, "revision_info": …}` from stored JSON without parsing it."""

from collections.abc import Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.request.etag import etag, matches_if_none_match
from autocrud.routes.request.field_mask import Tree, field_mask
from autocrud.routes.request.query_parameters import PARTS, prefers_minimal
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.nouns import begin_sentence, pluralize, to_noun
from autocrud.versioning.stored_resource import Resource


class JsonResponse(Response):
    """A response of JSON bytes. Header names must be in lower case."""

    # Starlette's constructor searches the headers for the ones to add; here they are known.
    def __init__(self, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.body = content
        self.background = None
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        if headers:
            self.raw_headers += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def envelope(resource: Resource[Any], returns: AbstractSet[str], fields: Tree) -> bytes:
    """Return the JSON envelope of a resource.

    Args:
        returns: parts of the envelope.
        fields: field mask of the data; empty for all data.
    """
    head = resource.head
    if head.data is None:  # the data of this point in time has been pruned
        returns, data = returns - {"data"}, b""
    else:
        data = field_mask(head.data, fields) if fields else head.data
    if len(returns) == len(PARTS):
        return b'{"data":%s,"meta":%s,"revision_info":%s}' % (data, head.meta, head.revision_info)
    parts = {"data": data, "meta": head.meta, "revision_info": head.revision_info}
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), parts[name]) for name in PARTS if name in returns)


def read_response(request: Request, resource: Resource[Any], values: Mapping[str, Any]) -> Response:
    """Return a response with one resource and its ETag; 304 if the client has this state already (RFC 9110, 15.4.5)."""
    headers = {"etag": etag(resource.tag)}
    if matches_if_none_match(request, resource.tag):
        return Response(status_code=304, headers=headers)
    return JsonResponse(envelope(resource, values["returns"], values["fields"]), 200, headers)


def written_response(
    request: Request, resource: Resource[Any], values: Mapping[str, Any], location: str | None = None
) -> Response:
    """Return the response of a write: the resource, or no content if the client prefers a minimal one (RFC 7240).

    Args:
        location: URL of a created resource, for a 201; None for a 200.
    """
    headers = {"etag": etag(resource.tag)}
    if location is not None:
        headers["location"] = location
    if prefers_minimal(request):
        headers["preference-applied"] = "return=minimal"
        return Response(status_code=204, headers=headers) if location is None else JsonResponse(b"{}", 201, headers)
    status = 200 if location is None else 201
    return JsonResponse(envelope(resource, values["returns"], values["fields"]), status, headers)


# One class for each model, because FastAPI renames schemas of two classes with one name.
_ENVELOPES: MutableMapping[ModelSpec[Any], type[BaseModel]] = WeakKeyDictionary()


def envelope_model(spec: ModelSpec[Any]) -> type[BaseModel]:
    """Return the envelope's model, for OpenAPI. All parts are optional, because `returns` may leave parts out."""
    if spec not in _ENVELOPES:
        _ENVELOPES[spec] = _create_envelope_model(spec)
    return _ENVELOPES[spec]


def _create_envelope_model(spec: ModelSpec[Any]) -> type[BaseModel]:
    return create_model(
        f"{spec.label}Resource",
        __doc__=f"{begin_sentence(to_noun(spec.label))} with its metadata and its current revision."
        " `returns` selects parts.",
        data=(spec.model, Field(default=None, json_schema_extra=without_default)),
        meta=(ResourceMeta, Field(default=None, json_schema_extra=without_default)),
        revision_info=(RevisionInfo, Field(default=None, json_schema_extra=without_default)),
    )


def page_model(spec: ModelSpec[Any], item: type[BaseModel]) -> type[BaseModel]:
    """Return the model of a page of resources, for OpenAPI."""
    return create_model(
        f"{spec.label}Page",
        __doc__=f"A page of {pluralize(to_noun(spec.label))}, newest first unless `sort` is given.",
        items=(list[item], ...),  # type: ignore[valid-type]  # the model is made at run time
        next_cursor=(str | None, Field(description="Send it as `cursor` to get the next page; null on the last page.")),
        total=(
            int,
            Field(
                default=None,
                description="Number of items on all pages; present only with `count=exact`.",
                json_schema_extra=without_default,
            ),
        ),
    )


def without_default(schema: dict[str, Any]) -> None:
    """Remove the default null from a schema: a part of a response is present or absent, and never null."""
    schema.pop("default", None)
