"""Security schemes in OpenAPI: the credentials that operations take."""

from typing import Any

from autocrud.routes.authentication import Authentication
from autocrud.routes.openapi.components import Components
from autocrud.routes.openapi.document import Completion
from autocrud.routes.response.problems import MEDIA_TYPE

_RESPONSES = {
    "401": "Problem: `unauthenticated`.",
    "403": "Problem: `forbidden`.",
}


def security_completion(authentication: Authentication) -> Completion:
    """Return a completion that adds the security schemes, each sufficient by itself, to an operation."""

    def complete(operation: dict[str, Any], components: Components) -> None:
        operation["security"] = [
            {components.add("securitySchemes", (name,), dict(scheme))["$ref"].rpartition("/")[2]: []}
            for name, scheme in authentication.schemes.items()
        ]
        for status, description in _RESPONSES.items():
            operation["responses"].setdefault(status, _problem(description))

    return complete


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {}}}
