"""Envelope: builds `{"data": …, "meta": …, "revision_info": …}` from stored JSON without parsing it."""

from collections.abc import Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from fastapi import Request
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.routes.openapi.partial_schemas import CUT
from autocrud.routes.request.etag import etag, matches_if_none_match
from autocrud.routes.request.field_mask import Tree, field_mask
from autocrud.routes.request.query_parameters import PARTS, prefers_minimal
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.nouns import begin_sentence, to_noun
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


def optional_part(*, cut: bool = False, **options: Any) -> Any:
    """Return the field of a part that is present or absent, and never null.

    Args:
        cut: True if `fields` selects members of the part.
    """
    return Field(default=None, json_schema_extra=_mark_cut if cut else _without_default, **options)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _mark_cut(schema: dict[str, Any]) -> None:
    schema.pop("default", None)
    schema[CUT] = True


class StoredDataProblem(BaseModel):
    """Reason why the stored data of a resource cannot be shown. `raw=true` returns the data as it is stored."""

    code: str = Field(examples=["unreadable"])
    detail: str


class RawEnvelope(BaseModel):
    """A resource with its data as it is stored. Only parts in `returns`."""

    raw: Literal[True]
    data: Any = optional_part()
    meta: ResourceMeta = optional_part()
    revision_info: RevisionInfo = optional_part()


def envelope(resource: Resource[Any], returns: AbstractSet[str], fields: Tree, *, raw: bool = False) -> bytes:
    """Return the JSON envelope of a resource. A problem stands in place of data that cannot be read.

    Args:
        returns: parts of the envelope.
        fields: field mask of the data; empty for all data.
        raw: return the data as it is stored.
    """
    head = resource.head
    if raw:
        stored = head.data if head.stored is None else head.stored
        masked = field_mask(stored, fields) if stored is not None and fields else stored
        return _join_parts(b'"raw":true', resource, returns, masked)
    if head.fault is not None and "data" in returns:
        problem = StoredDataProblem(code=head.fault.code, detail=str(head.fault))
        partial = resource.shown_json if resource.is_shown_in_part else None
        masked = field_mask(partial, fields) if partial is not None and fields else partial
        return _join_parts(b'"problem":%s' % problem.model_dump_json().encode(), resource, returns, masked)
    if head.data is None:  # the data of this point in time has been pruned
        returns, data = returns - {"data"}, b""
    else:
        data = head.data
        # Most models show what is stored. A list of those copies bytes.
        if not resource.spec.stored_form.is_shown and "data" in returns:
            data = resource.shown_json
        if fields:
            data = field_mask(data, fields)
    if len(returns) == len(PARTS):
        return b'{"data":%s,"meta":%s,"revision_info":%s}' % (data, head.meta, head.revision_info)
    parts = {"data": data, "meta": head.meta, "revision_info": head.revision_info}
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), parts[name]) for name in PARTS if name in returns)


def _join_parts(first: bytes, resource: Resource[Any], returns: AbstractSet[str], data: bytes | None) -> bytes:
    """Return an envelope that begins with a member, and has the parts in `returns`. Missing data is left out."""
    parts = {"data": data, "meta": resource.head.meta, "revision_info": resource.head.revision_info}
    found = [(name, part) for name, part in parts.items() if name in returns and part is not None]
    return b"{%s}" % b",".join([first, *(b'"%s":%s' % (name.encode(), part) for name, part in found)])


def read_response(request: Request, resource: Resource[Any], values: Mapping[str, Any]) -> Response:
    """Return a response with one resource and its ETag; 304 if the client has this state already (RFC 9110, 15.4.5).

    Raises:
        Unreadable, NewerSchema: the stored data cannot be shown, and the request does not ask for it raw.
    """
    raw = values.get("raw", False)
    if resource.hidden_by is not None and not raw:
        raise resource.hidden_by
    tag = resource.raw_etag if raw else resource.etag
    headers = {"etag": etag(tag)}
    if matches_if_none_match(request, tag):
        return Response(status_code=304, headers=headers)
    return JsonResponse(envelope(resource, values["returns"], values["fields"], raw=raw), 200, headers)


def written_response(
    request: Request,
    resource: Resource[Any],
    values: Mapping[str, Any],
    location: str | None = None,
    *,
    is_new: bool = True,
) -> Response:
    """Return the response of a write: the resource, or no content if the client prefers a minimal one (RFC 7240).

    Args:
        location: URL of a created resource, for a 201; None for a 200.
        is_new: False for a 200 with a location, because the resource existed before.
    """
    status = 200 if location is None or not is_new else 201
    headers = {"etag": etag(resource.etag)}
    if location is not None:
        headers["location"] = location
    if "prefer" in request.headers and prefers_minimal(request):
        headers["preference-applied"] = "return=minimal"
        return Response(status_code=204, headers=headers) if status == 200 else JsonResponse(b"{}", 201, headers)
    return JsonResponse(envelope(resource, values["returns"], values["fields"]), status, headers)


@dataclass(frozen=True)
class AnswerModels:
    """Two models of an answer, for OpenAPI: with all parts, and with the parts and fields that a request selects."""

    full: type[BaseModel]
    partial: type[BaseModel]

    @property
    def either(self) -> Any:
        """The union of both. Clients try the full model first."""
        return self.full | self.partial

    @property
    def with_raw(self) -> Any:
        """The union of both and of the envelope with raw data."""
        return self.full | self.partial | RawEnvelope


# One pair of classes for each model, because FastAPI renames schemas of two classes with one name.
_ENVELOPES: MutableMapping[ModelSpec[Any], AnswerModels] = WeakKeyDictionary()


def envelope_models(spec: ModelSpec[Any]) -> AnswerModels:
    """Return the models of the envelope, for OpenAPI."""
    if spec not in _ENVELOPES:
        doc = f"{begin_sentence(to_noun(spec.label))} with its metadata and its current revision."
        parts = {"data": spec.model, "meta": ResourceMeta, "revision_info": RevisionInfo}
        _ENVELOPES[spec] = answer_models(f"{spec.label}Resource", doc, parts)
    return _ENVELOPES[spec]


def answer_models(
    name: str,
    doc: str,
    parts: Mapping[str, Any],
    optional: Mapping[str, Any] | None = None,
    always: Mapping[str, Any] | None = None,
) -> AnswerModels:
    """Return the models of an answer with these parts.

    Args:
        parts: type of each part that `returns` can leave out.
        optional: type of each part that only some answers have, also without `returns`.
        always: type and field of each member that every answer has.
    """
    members: dict[str, Any] = dict(always or {})
    extras: dict[str, Any] = {part: (kind, optional_part()) for part, kind in (optional or {}).items()}
    cut: dict[str, Any] = {part: (kind, optional_part(cut=part == "data")) for part, kind in parts.items()}
    required: dict[str, Any] = {part: (kind, ...) for part, kind in parts.items()}
    if "data" in {**parts, **(optional or {})}:
        cut["problem"] = (StoredDataProblem, optional_part())
    partial_doc = f"{doc} Only parts in `returns` and members in `fields`."
    return AnswerModels(
        create_model(name, __doc__=doc, **members, **required, **extras),
        create_model(f"Partial{name}", __doc__=partial_doc, **members, **cut, **extras),
    )


def page_models(name: str, doc: str, items: AnswerModels, *, raw: bool = False, **members: Any) -> AnswerModels:
    """Return the models of a page of such items, for OpenAPI.

    Args:
        raw: True if the items may have raw data.
    """
    cursor = Field(description="The `cursor` of the next page; null on the last page.")

    def create(name: str, doc: str | None, item: Any, cursor: Any = ...) -> type[BaseModel]:
        fields: dict[str, Any] = {"items": (list[item], ...), "next_cursor": (str | None, cursor), **members}
        return create_model(name, __doc__=doc, **fields)

    partial = items.partial | RawEnvelope if raw else items.partial
    return AnswerModels(create(name, doc, items.full, cursor), create(f"Partial{name}", None, partial))
