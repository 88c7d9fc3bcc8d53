"""Expansion (`expand=`): adds referred resources to the envelopes of the resources that refer to them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zlib import crc32

from fastapi import Request
from pydantic import StringConstraints, create_model
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.references.expand import Expanded
from autocrud.references.graph import Reference
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.request.etag import etag, matches_if_none_match
from autocrud.routes.request.patterns import any_of
from autocrud.routes.request.query_parameters import PARTS, Parameter
from autocrud.routes.response.envelope import AnswerModels, JsonResponse, envelope, envelope_models, optional_part
from autocrud.schema.nouns import begin_sentence, to_noun
from autocrud.versioning.stored_resource import TAG_SEPARATOR, Resource, ResourcePage

_ALL_PARTS = frozenset(PARTS)


class Expansion:
    """The references of one model that a client may expand.

    A reference is left out if its readers may not see its target.
    """

    def __init__(self, routes: ModelRoutes) -> None:
        self._routes = routes
        self._manager = routes.manager
        graph = routes.manager.graph
        self._references = [reference for reference in graph.outgoing(routes.spec.name) if reference.shows_target]

    @property
    def parameters(self) -> list[Parameter]:
        """Return the parameter `expand`; nothing if the model has no reference to expand."""
        names = [reference.field.name for reference in self._references]
        if not names:
            return []
        name_pattern = any_of(names)
        return [
            Parameter(
                "expand",
                Annotated[str, StringConstraints(pattern=f"^{name_pattern}(,{name_pattern})*$")],
                None,
                f"References to expand, separated by commas: {', '.join(names)}. The referred resources are in"
                " `expanded`; null if a resource does not exist or is deleted.",
                names[0],
                lambda text: () if text is None else tuple(dict.fromkeys(text.split(","))),
            )
        ]

    @property
    def models(self) -> AnswerModels:
        """Return the models of the envelope, for OpenAPI."""
        if not self._references:
            return self._routes.envelopes
        fields: Any = {
            # A name of a field may not be an attribute name for Pydantic, so the name is the alias.
            f"reference_{number}": (_target_model(reference), optional_part(alias=reference.field.name))
            for number, reference in enumerate(self._references)
        }
        label = self._routes.spec.label
        doc = "The referred resources of the references in `expand`."
        expanded = (create_model(f"{label}Expanded", __doc__=doc, **fields), optional_part())
        noun = begin_sentence(to_noun(label))
        doc = f"{noun} with its metadata, its current revision and the resources that `expand` adds."
        return AnswerModels(
            *(
                create_model(f"{prefix}{label}ExpandedResource", __base__=base, __doc__=doc, expanded=expanded)
                for prefix, base in (("", self._routes.envelopes.full), ("Partial", self._routes.envelopes.partial))
            )
        )

    def build_envelopes(self, page: ResourcePage[Any], values: dict[str, Any]) -> list[bytes]:
        """Return the JSON envelopes of a page, with the parts, fields and references that the parameters select."""
        returns, fields, names = values["returns"], values["fields"], values.get("expand")
        raw = values.get("raw", False)
        plain = [envelope(resource, returns, fields, raw=raw) for resource in page.items]
        if not names:
            return plain
        return [_add_expanded(item, _to_json(targets)) for item, targets in zip(plain, page.expanded, strict=True)]

    async def response(self, request: Request, resource: Resource[Any], values: dict[str, Any]) -> Response:
        """Return a response with one resource, or 304 if the client has the current state already.

        The entity tag covers the resource and its expanded resources.
        """
        if resource.hidden_by is not None:
            raise resource.hidden_by
        (expanded,) = await self._manager.expanded([resource], values["expand"], max_bytes=self._routes.max_page_bytes)
        # A strong tag must change with any byte of the representation (RFC 9110, 8.8.1).
        items = [resource, *(item for target in expanded.values() for item in _as_list(target))]
        tags = ",".join(item.etag if item else "" for item in items)
        tag = f"{resource.tag}{TAG_SEPARATOR}{crc32(tags.encode()):08x}"
        headers = {"etag": etag(tag)}
        if matches_if_none_match(request, tag):
            return Response(status_code=304, headers=headers)
        content = envelope(resource, values["returns"], values["fields"])
        return JsonResponse(_add_expanded(content, _to_json(expanded)), 200, headers)


def _target_model(reference: Reference) -> Any:
    """Return the type of an expanded reference, for OpenAPI; a list field has one item for each id."""
    target: Any = envelope_models(reference.target.spec).either  # a target may have a problem in place of its data
    return list[target | None] if reference.field.is_list else target | None


def _add_expanded(content: bytes, expanded: bytes) -> bytes:
    """Return an envelope with the part `expanded` added."""
    return b'%s%s"expanded":%s}' % (content[:-1], b"" if content == b"{}" else b",", expanded)


def _to_json(expanded: Mapping[str, Expanded]) -> bytes:
    """Return the JSON of the expanded resources by the name of the reference."""
    parts = []
    for name, target in expanded.items():
        items = [b"null" if item is None else envelope(item, _ALL_PARTS, {}) for item in _as_list(target)]
        value = b"[%s]" % b",".join(items) if isinstance(target, list) else items[0]
        parts.append(b"%s:%s" % (to_json(name), value))
    return b"{%s}" % b",".join(parts)


def _as_list(target: Expanded) -> Sequence[Resource[Any] | None]:
    return target if isinstance(target, list) else [target]
