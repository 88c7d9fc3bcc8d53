"""The envelope: `{"data": …, "meta": …, "revision_info": …}`, put together from stored JSON without parsing it."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from autocrud.manager import Resource
from autocrud.model import ModelSpec
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.etag import etag
from autocrud.routes.parameters import PARTS


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


def envelope(resource: Resource[Any], returns: AbstractSet[str]) -> bytes:
    """The JSON of one resource, cut to the parts that are asked for."""
    head = resource.head
    if len(returns) == len(PARTS):
        return b'{"data":%s,"meta":%s,"revision_info":%s}' % (resource.data_json, head.meta, head.revision_info)
    parts = {"data": resource.data_json, "meta": head.meta, "revision_info": head.revision_info}
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), parts[name]) for name in PARTS if name in returns)


def resource_response(
    resource: Resource[Any], returns: AbstractSet[str], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A response with one resource and its ETag."""
    return JsonResponse(envelope(resource, returns), status, {"etag": etag(resource.tag), **(headers or {})})


def envelope_model(spec: ModelSpec[Any]) -> type[BaseModel]:
    """The envelope of one model, for OpenAPI. Parts that `returns` leaves out are absent."""
    return create_model(
        f"{spec.label}Resource",
        __doc__=f"A {spec.label} with its metadata and its current revision, cut by `returns`.",
        data=(spec.model, Field(default=None, json_schema_extra=_required_type)),
        meta=(ResourceMeta, Field(default=None, json_schema_extra=_required_type)),
        revision_info=(RevisionInfo, Field(default=None, json_schema_extra=_required_type)),
    )


def page_model(spec: ModelSpec[Any], item: type[BaseModel]) -> type[BaseModel]:
    """A page of one model, for OpenAPI."""
    return create_model(
        f"{spec.label}Page",
        __doc__=f"A page of {spec.label} resources, newest first.",
        items=(list[item], ...),  # type: ignore[valid-type]  # the model is made at run time
        next_cursor=(str | None, Field(description="Give it as `cursor` for the next page; null on the last one.")),
    )


def _required_type(schema: dict[str, Any]) -> None:
    """A part is either there or absent, never null: the default is not part of the contract."""
    schema.pop("default", None)
