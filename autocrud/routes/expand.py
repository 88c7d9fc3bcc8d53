"""`expand=`: what resources refer to, beside them in their envelopes."""

import re
from collections.abc import Sequence
from typing import Annotated, Any
from zlib import crc32

from fastapi import Request
from pydantic import BaseModel, Field, StringConstraints, create_model
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.references.expand import Expanded
from autocrud.references.graph import Reference
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.request.etag import etag, is_known
from autocrud.routes.request.query_parameters import PARTS, Parameter
from autocrud.routes.response.envelope import JsonResponse, envelope, envelope_model, without_default
from autocrud.versioning.stored_resource import Resource

_ALL = frozenset(PARTS)


class Expansion:
    """The expansions of one model's resources. A reference whose readers may not see what it leads to has none."""

    def __init__(self, routes: ModelRoutes) -> None:
        self._routes = routes
        self._manager = routes.manager
        graph = routes.manager.graph
        self._references = [reference for reference in graph.outgoing(routes.spec.name) if reference.shows_target]

    @property
    def parameters(self) -> list[Parameter]:
        """`expand`, where there is something to expand."""
        names = [reference.field.name for reference in self._references]
        if not names:
            return []
        one = f"({'|'.join(map(re.escape, names))})"
        return [
            Parameter(
                "expand",
                Annotated[str, StringConstraints(pattern=f"^{one}(,{one})*$")],
                None,
                f"Bring what these references lead to, separated by commas: {', '.join(names)}."
                " It stands in `expanded`: null where it is not there, or is deleted.",
                names[0],
                lambda text: () if text is None else tuple(dict.fromkeys(text.split(","))),
            )
        ]

    @property
    def model(self) -> type[BaseModel]:
        """The envelope, for OpenAPI."""
        if not self._references:
            return self._routes.envelope
        fields: Any = {
            f"reference_{number}": (
                _shown(reference),
                Field(None, alias=reference.field.name, json_schema_extra=without_default),
            )
            for number, reference in enumerate(self._references)
        }
        label = self._routes.spec.label
        doc = "What the references lead to that `expand` names."
        expanded = create_model(f"{label}Expanded", __doc__=doc, **fields)
        return create_model(
            f"{label}ExpandedResource",
            __base__=self._routes.envelope,
            __doc__=f"A {label} with its metadata and its current revision, cut by `returns`, and what it refers to.",
            expanded=(expanded, Field(default=None, json_schema_extra=without_default)),
        )

    async def envelopes(self, resources: Sequence[Resource[Any]], values: dict[str, Any]) -> list[bytes]:
        """The JSON of resources of the model, as the request's parameters have it."""
        returns, fields, names = values["returns"], values["fields"], values.get("expand")
        plain = [envelope(resource, returns, fields) for resource in resources]
        if not names:
            return plain
        expanded = await self._manager.expanded(resources, names)
        return [_with(one, _json(reached)) for one, reached in zip(plain, expanded, strict=True)]

    async def response(self, request: Request, resource: Resource[Any], values: dict[str, Any]) -> Response:
        """A response with one resource, with a tag of all that is in it; 304 where the client has it already."""
        (expanded,) = await self._manager.expanded([resource], values["expand"])
        tags = ",".join(each.tag if each else "" for part in expanded.values() for each in _listed(part))
        tag = f"{resource.tag}-{crc32(tags.encode()):08x}"
        headers = {"etag": etag(tag)}
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
        content = envelope(resource, values["returns"], values["fields"])
        return JsonResponse(_with(content, _json(expanded)), 200, headers)


def _shown(reference: Reference) -> Any:
    target: Any = envelope_model(reference.target.spec)
    return list[target | None] if reference.field.is_list else target | None


def _with(content: bytes, expanded: bytes) -> bytes:
    """An envelope with one part more."""
    return b'%s%s"expanded":%s}' % (content[:-1], b"" if content == b"{}" else b",", expanded)


def _json(expanded: dict[str, Expanded]) -> bytes:
    parts = []
    for name, reached in expanded.items():
        each = [b"null" if item is None else envelope(item, _ALL, {}) for item in _listed(reached)]
        value = b"[%s]" % b",".join(each) if isinstance(reached, list) else each[0]
        parts.append(b"%s:%s" % (to_json(name), value))
    return b"{%s}" % b",".join(parts)


def _listed(reached: Expanded) -> Sequence[Resource[Any] | None]:
    return reached if isinstance(reached, list) else [reached]
