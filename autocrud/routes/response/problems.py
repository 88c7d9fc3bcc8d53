"""Problem details (RFC 9457): the only place that maps the project's errors to HTTP statuses."""

import logging
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.errors import (
    Aborted,
    AlreadyExists,
    AutoCRUDError,
    BlobNotFound,
    BulkRefused,
    Conflict,
    Deleted,
    DifferenceTooLarge,
    DifferentHolders,
    DifferentStores,
    Forbidden,
    IndexNotReady,
    InvalidData,
    InvalidInput,
    InvalidParameter,
    InvalidPatch,
    IssuerUnavailable,
    KeyReused,
    MalformedBody,
    NewerSchema,
    NotDraft,
    NotFound,
    Overloaded,
    PatchFailed,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    QueryTooExpensive,
    RangeNotSatisfiable,
    RateLimited,
    Referenced,
    ReferenceNotFound,
    RevisionNotFound,
    StorageUnavailable,
    TooManyDependents,
    Unauthenticated,
    UnhandledReferrers,
    UniqueViolation,
    Unreadable,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
    ValidatorNotIdempotent,
)
from autocrud.errors.base import shorten
from autocrud.routes.missing_routes import RouteNotFound
from autocrud.routes.response.send_wrappers import CACHE_CONTROL
from autocrud.storage.ports.not_open import StorageNotOpen

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"  # seconds

# Status and title. Another class is a bug, and becomes a 500 that reveals no internals.
STATUSES: dict[type[AutoCRUDError], tuple[int, str]] = {
    InvalidParameter: (400, "Invalid parameter"),
    MalformedBody: (400, "Malformed body"),
    Unauthenticated: (401, "Unauthenticated"),
    Forbidden: (403, "Forbidden"),
    RouteNotFound: (404, "Route not found"),
    NotFound: (404, "Resource not found"),
    RevisionNotFound: (404, "Revision not found"),
    BlobNotFound: (404, "Blob not found"),
    UploadNotFound: (404, "Upload session not found"),
    AlreadyExists: (409, "Resource already exists"),
    Conflict: (409, "Version conflict"),
    UniqueViolation: (409, "Unique constraint violated"),
    DifferentHolders: (409, "Different holders"),
    NewerSchema: (409, "Schema version is newer"),
    Unreadable: (409, "Stored data cannot be read"),
    NotDraft: (409, "Revision is not a draft"),
    Referenced: (409, "Resource is referenced"),
    TooManyDependents: (409, "Too many dependents"),
    UnhandledReferrers: (409, "Unhandled referrers"),
    PatchFailed: (409, "Patch failed"),
    UploadIncomplete: (409, "Upload incomplete"),
    BulkRefused: (409, "Bulk write refused"),
    Deleted: (410, "Resource is deleted"),
    PreconditionFailed: (412, "Precondition failed"),
    PayloadTooLarge: (413, "Body too large"),
    UnsupportedMediaType: (415, "Unsupported media type"),
    RangeNotSatisfiable: (416, "Range not satisfiable"),
    InvalidData: (422, "Invalid data"),
    ReferenceNotFound: (422, "Referenced resource not found"),
    ValidatorNotIdempotent: (422, "Validator is not idempotent"),
    InvalidPatch: (422, "Invalid patch"),
    InvalidInput: (422, "Invalid input"),
    DifferentStores: (422, "Models are in different stores"),
    KeyReused: (422, "Idempotency key reused"),
    DifferenceTooLarge: (422, "Difference too large"),
    QueryTooExpensive: (422, "Query too expensive"),
    Aborted: (424, "Operation aborted"),
    PreconditionRequired: (428, "Precondition required"),
    RateLimited: (429, "Too many requests"),
    IndexNotReady: (503, "Index not ready"),
    IssuerUnavailable: (503, "Issuer unavailable"),
    Overloaded: (503, "Overloaded"),
    StorageUnavailable: (503, "Storage unavailable"),
}
_INTERNAL = (500, "Internal error")


class FieldProblem(BaseModel):
    """An error of one field, parameter or header."""

    field: str = Field(examples=["limit"])
    message: str = Field(examples=["must be from 1 to 1000"])


class Problem(BaseModel):
    """Problem details of an error (RFC 9457). Branch on `code`, which is stable; `detail` is for people."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Invalid parameter"])
    status: int = Field(examples=[400])
    code: str = Field(examples=["invalid_parameter"])
    detail: str = Field(examples=["limit: must be from 1 to 1000"])
    errors: list[FieldProblem] = Field([], description="Errors of fields, parameters or headers.")
    holder: str | None = Field(
        None, description="Id of the resource that holds the same values of a unique constraint."
    )


def problem_response(
    status: int, title: str, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    """Return a response with one problem; `members` are added to the standard members."""
    # Without a URI of its own, a type says no more than the status (RFC 9457, 4.2.1); clients branch on `code`.
    cached = {"Cache-Control": CACHE_CONTROL, **(headers or {})}
    body = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": shorten(detail), **members}
    return Response(to_json(body), status, cached, MEDIA_TYPE)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems of an operation in the form of OpenAPI, with the default problem."""
    codes: dict[int, list[str]] = {}
    for kind, (status, _) in STATUSES.items():
        codes.setdefault(status, []).append(f"`{kind.code}`")
    content: dict[str, Any] = {MEDIA_TYPE: {}}  # the schema is a component, which the completed document adds
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": f"Problem: {', '.join(codes[status])}.", "content": content} for status in statuses
    }
    return {**responses, "default": {"description": "Any other problem.", "content": content}}


def problem_of(error: AutoCRUDError) -> Response:
    """Return the response for one of the project's errors."""
    status, title = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), _INTERNAL)
    if status == 500:
        return problem_response(status, title, "internal_error", "The service failed; see its log.")
    if isinstance(error, StorageUnavailable | IssuerUnavailable):
        # The text of an outage may name hosts and files.
        is_safe = isinstance(error, IndexNotReady | Overloaded | StorageNotOpen)
        part = "issuer of tokens" if isinstance(error, IssuerUnavailable) else "storage"
        detail = str(error) if is_safe else f"The {part} is not available; try again."
        return problem_response(status, title, error.code, detail, headers={"Retry-After": RETRY_AFTER})
    if isinstance(error, RateLimited):
        headers = {"Retry-After": str(error.retry_after), **error.headers}
        return problem_response(status, title, error.code, str(error), headers=headers)
    headers = {}
    if isinstance(error, Unauthenticated):
        # A client must get at least one challenge (RFC 9110, 11.6.1).
        headers["WWW-Authenticate"] = ", ".join(error.challenges) or "Bearer"
    if isinstance(error, PreconditionFailed) and error.current is not None and error.operation is None:
        headers["ETag"] = f'"{error.current}"'
    if isinstance(error, UnsupportedMediaType) and error.accept is not None:
        name, value = error.accept
        headers[name] = value
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, PayloadTooLarge):
        # The rest of the body is not read, so the connection cannot serve another request.
        headers["Connection"] = "close"
    # `errors` names the fields, so that the detail of invalid data need not repeat their names.
    detail = str(error.args[0]) if isinstance(error, InvalidData) else str(error)
    return problem_response(status, title, error.code, detail, headers=headers, **_extra_members(error))


def _extra_members(error: AutoCRUDError) -> dict[str, Any]:
    """Return the members of a problem beyond the standard ones. Those of a transaction name the operation."""
    members = _members_of(error)
    if error.operation is None:
        return members
    if isinstance(error, PreconditionFailed) and error.current is not None:
        members["etag"] = f'"{error.current}"'
    if error.operation_model is not None:
        members["model"] = error.operation_model
    return members | {"operation": error.operation}


def _members_of(error: AutoCRUDError) -> dict[str, Any]:
    if isinstance(error, InvalidInput) and error.errors:
        return {"errors": error.errors}
    if isinstance(error, UniqueViolation):
        errors = [_claim_error(field, error) for field in error.fields]
        return {"errors": errors} if error.holder is None else {"errors": errors, "holder": error.holder}
    if isinstance(error, DifferentHolders):
        pairs = [(field, holder) for fields, holder in error.holders for field in fields]
        errors = [{"field": field, "message": f"is held by {holder!r}"} for field, holder in pairs]
        return {"errors": errors, "holders": list(dict.fromkeys(holder for _, holder in error.holders))}
    if isinstance(error, Referenced) and error.resource_ids:
        common = {"model": error.model, "field": error.field}
        return {"referrers": [{**common, "resource_id": resource_id} for resource_id in error.resource_ids]}
    if isinstance(error, Forbidden) and error.field is not None:
        return {"errors": [{"field": error.field, "message": f"needs the right to {error.right}"}]}
    if isinstance(error, PatchFailed):
        return {"errors": [{"field": f"/{error.index}", "message": str(error)}], "operation": error.index}
    return {}


def _claim_error(field: str, error: UniqueViolation) -> dict[str, str]:
    """Return the error of one field of a unique constraint."""
    other_fields = ", ".join(name for name in error.fields if name != field)
    return {
        "field": field,
        "message": f"is not unique together with {other_fields}" if other_fields else "is not unique",
    }


async def answer_problem(request: Request, error: Exception) -> Response:
    """Handle `AutoCRUDError`: return the problem, and log the error of a 5xx response.

    The client does not see the cause of a 5xx response.
    """
    if not isinstance(error, AutoCRUDError):
        raise error
    response = problem_of(error)
    if response.status_code >= 500 and not isinstance(error, IndexNotReady | Overloaded):
        logger.error("%s %r: %s", request.method, shorten(request.scope["path"]), error, exc_info=error)
    return response
