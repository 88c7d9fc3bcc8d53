"""Errors as problem details (RFC 9457): the one place where the project's errors become HTTP statuses."""

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
    IndexNotReady,
    InvalidData,
    InvalidInput,
    InvalidParameter,
    InvalidPatch,
    KeyReused,
    MalformedBody,
    NotDraft,
    NotFound,
    PatchFailed,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    RangeNotSatisfiable,
    Referenced,
    ReferenceNotFound,
    RevisionNotFound,
    StorageUnavailable,
    UniqueViolation,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"  # seconds

# Status and title; a class that is not listed is a bug or an outage, and says nothing of the inside.
STATUSES: dict[type[AutoCRUDError], tuple[int, str]] = {
    InvalidParameter: (400, "A parameter cannot be used"),
    MalformedBody: (400, "The body cannot be read"),
    NotFound: (404, "No such resource"),
    RevisionNotFound: (404, "No such revision"),
    BlobNotFound: (404, "No such blob"),
    UploadNotFound: (404, "No such upload"),
    AlreadyExists: (409, "The id is taken"),
    Conflict: (409, "The resource moved on"),
    UniqueViolation: (409, "A unique value is taken"),
    NotDraft: (409, "The revision is stable"),
    Referenced: (409, "The resource is referred to"),
    PatchFailed: (409, "The patch does not fit"),
    UploadIncomplete: (409, "Parts are missing"),
    BulkRefused: (409, "Nothing was stored"),
    Deleted: (410, "The resource is deleted"),
    PreconditionFailed: (412, "The precondition does not hold"),
    PayloadTooLarge: (413, "The body is too long"),
    UnsupportedMediaType: (415, "The media type is not read here"),
    RangeNotSatisfiable: (416, "No such bytes"),
    InvalidData: (422, "The data is not valid"),
    ReferenceNotFound: (422, "A referenced resource is not there"),
    InvalidPatch: (422, "The patch is not valid"),
    KeyReused: (422, "The key belongs to another request"),
    Aborted: (424, "Another operation was refused"),
    PreconditionRequired: (428, "A precondition is required"),
    IndexNotReady: (503, "The index is being filled"),
    StorageUnavailable: (503, "The storage is not available"),
}
_INTERNAL = (500, "Internal error")


class FieldProblem(BaseModel):
    """One thing wrong with one field, parameter or header."""

    field: str = Field(examples=["limit"])
    message: str = Field(examples=["must be from 1 to 1000"])


class Problem(BaseModel):
    """What went wrong (RFC 9457). Branch on `code`, which is stable; `detail` is for people."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["A parameter cannot be used"])
    status: int = Field(examples=[400])
    code: str = Field(examples=["invalid_parameter"])
    detail: str = Field(examples=["limit: must be from 1 to 1000"])
    errors: list[FieldProblem] = Field([], description="What is wrong with which field, where it is about fields.")
    holder: str | None = Field(None, description="The id of the resource that holds a value which must be unique.")


def problem_response(
    status: int, title: str, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """A response that carries one problem."""
    body = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail, **more}
    return Response(to_json(body), status, headers, MEDIA_TYPE)


def problem_of(error: AutoCRUDError) -> Response:
    """The response for one of the project's errors."""
    status, title = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), _INTERNAL)
    if status == 500:
        return problem_response(status, title, "internal_error", "The service failed; its log says why.")
    if isinstance(error, StorageUnavailable):
        is_safe = isinstance(error, IndexNotReady)
        detail = str(error) if is_safe else "The storage is not available; try again."
        return problem_response(status, title, error.code, detail, headers={"Retry-After": RETRY_AFTER})
    headers = {}
    if isinstance(error, PreconditionFailed) and error.current is not None:
        headers["ETag"] = f'"{error.current}"'
    if isinstance(error, UnsupportedMediaType) and error.accept_patch is not None:
        headers["Accept-Patch"] = error.accept_patch
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, PayloadTooLarge):
        # What the client has not sent yet is not waited for.
        headers["Connection"] = "close"
    return problem_response(status, title, error.code, str(error), headers=headers, **_more(error))


def _more(error: AutoCRUDError) -> dict[str, Any]:
    """What a problem says beside its detail."""
    if isinstance(error, InvalidInput) and error.errors:
        return {"errors": error.errors}
    if isinstance(error, UniqueViolation):
        return {"errors": [_taken(field, error) for field in error.fields], "holder": error.holder}
    if isinstance(error, Referenced):
        common = {"model": error.model, "field": error.field}
        return {"referrers": [{**common, "resource_id": resource_id} for resource_id in error.resource_ids]}
    if isinstance(error, PatchFailed):
        return {"errors": [{"field": f"/{error.index}", "message": str(error)}], "operation": error.index}
    return {}


def _taken(field: str, error: UniqueViolation) -> dict[str, str]:
    others = ", ".join(other for other in error.fields if other != field)
    return {"field": field, "message": f"is taken, together with {others}" if others else "is taken"}


async def answer_problem(request: Request, error: Exception) -> Response:
    """The exception handler for `AutoCRUDError`: what the client is not told, the log is."""
    if not isinstance(error, AutoCRUDError):
        raise error
    response = problem_of(error)
    if response.status_code >= 500 and not isinstance(error, IndexNotReady):
        logger.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    return response
