"""Endpoints of upload sessions: upload a large blob in parts and continue after an interruption."""

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import Response

from autocrud.errors import FieldError, InvalidData, MalformedBody
from autocrud.routes.endpoints.blobs import OCTETS as OCTETS_SCHEMA
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.body import read_body, read_json_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.response.envelope import JsonResponse
from autocrud.schema.binary import CONTENT_TYPE_PATTERN, EXAMPLE, FILENAME_PATTERN, OCTETS, Binary
from autocrud.schema.forms.validation_errors import error_items
from autocrud.storage.ports.uploads import Upload

_BASE = "/blobs/uploads"
_UPLOAD_PATH = f"{_BASE}/{{upload_id}}"
_ID_PATTERN = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class NewUpload(BaseModel):
    """Blob to upload. `size` is in bytes."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=1, examples=[1073741824])
    content_type: str = Field(OCTETS, pattern=CONTENT_TYPE_PATTERN, examples=["video/mp4"])
    filename: str | None = Field(None, pattern=FILENAME_PATTERN, examples=["vienna.mp4"])


class UploadState(BaseModel):
    """State of an upload: `part_count` parts of `part_size` bytes, the last one with the rest. `parts` are stored."""

    upload_id: str = Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"])
    size: int = Field(examples=[1073741824])
    part_size: int = Field(examples=[8388608])
    part_count: int = Field(examples=[128])
    parts: list[int] = Field(examples=[[1, 3]])
    expires_time: str = Field(examples=["2026-01-03T03:04:05.000000Z"], json_schema_extra={"format": "date-time"})
    content_type: str = Field(examples=["video/mp4"])
    filename: str | None = Field(examples=["vienna.mp4"])


_NEW_UPLOAD: TypeAdapter[NewUpload] = TypeAdapter(NewUpload)
_EXAMPLE = {name: field.examples[0] for name, field in UploadState.model_fields.items() if field.examples}


def _path_parameter(name: str, kind: Any, description: str, example: Any) -> inspect.Parameter:
    annotation = Annotated[kind, Path(description=description, examples=[example])]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


_UPLOAD_ID = _path_parameter(
    "upload_id", Annotated[str, Path(pattern=_ID_PATTERN)], "Id of the upload.", _EXAMPLE["upload_id"]
)
_NUMBER = _path_parameter("number", Annotated[int, Path(ge=1, le=10000)], "Number of the part, from 1.", 1)


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the upload families."""
    if routes.spec.has_blobs:
        yield _begin(routes)
        yield _read_state(routes)
        yield _upload_part(routes)
        yield _finish(routes)
        yield _abort(routes)


def _begin(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([])

    async def begin_upload(request: Request) -> Response:
        """Start an upload in parts. Parts may be sent in any order, concurrently, and after an interruption."""
        query.read(request)
        new_upload = _parse_new_upload(await read_json_body(request, routes.max_body_bytes))
        upload = await blobs.begin(new_upload.size, new_upload.content_type, new_upload.filename, user_of(request))
        location = f"{request.scope.get('root_path', '')}{routes.path}{_BASE}/{upload.upload_id}"
        return JsonResponse(_render_state(upload, []), 201, {"location": location})

    body = inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=NewUpload)
    return Operation(
        family="begin_upload",
        method="POST",
        path=_BASE,
        handler=begin_upload,
        parameters=[body],
        summary=f"Start an upload in parts for {routes.noun}",
        status=201,
        model=UploadState,
        headers=("Location",),
        example=_EXAMPLE,
        refusals=(400, 413, 415, 422),
    )


def _read_state(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([])

    async def read_upload(request: Request) -> Response:
        """Return the state of an upload: its size and the numbers of the stored parts."""
        query.read(request)
        upload, parts = await blobs.progress(request.path_params["upload_id"], user_of(request))
        return JsonResponse(_render_state(upload, parts), 200)

    return Operation(
        family="read_upload",
        method="GET",
        path=_UPLOAD_PATH,
        handler=read_upload,
        parameters=[_UPLOAD_ID],
        summary="Get the state of an upload",
        model=UploadState,
        example=_EXAMPLE,
        refusals=(400, 404),
    )


def _part_number(text: str) -> int:
    """Return the number of a part, or 0 if the text is no number. No upload has a part 0."""
    # The handler takes the bare request, so FastAPI has not checked the text. `int()` raises beyond 4,300 digits.
    return int(text) if re.fullmatch("[0-9]{1,5}", text) else 0


def _upload_part(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([])

    async def upload_part(request: Request) -> Response:
        """Store a part, which is the body. Sending a stored part again replaces it."""
        query.read(request)
        number = _part_number(request.path_params["number"])
        upload = await blobs.expected(request.path_params["upload_id"], number, user_of(request))
        await blobs.put_part(upload, number, await read_body(request, upload.size_of(number)))
        return Response(status_code=204)

    body = {"required": True, "content": {"application/octet-stream": {"schema": OCTETS_SCHEMA}}}
    return Operation(
        family="upload_part",
        method="PUT",
        path=f"{_UPLOAD_PATH}/parts/{{number}}",
        handler=upload_part,
        parameters=[_UPLOAD_ID, _NUMBER],
        request_body=body,
        summary="Upload a part",
        status=204,
        refusals=(400, 404, 413, 422),
    )


def _finish(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([])

    async def finish_upload(request: Request) -> Response:
        """Join the parts into a blob. Finishing may be repeated."""
        query.read(request)
        binary = await blobs.finish(request.path_params["upload_id"], user_of(request))
        return JsonResponse(binary.model_dump_json().encode(), 200)

    return Operation(
        family="finish_upload",
        method="POST",
        path=f"{_UPLOAD_PATH}/finish",
        handler=finish_upload,
        parameters=[_UPLOAD_ID],
        summary="Finish an upload",
        model=Binary,
        example=EXAMPLE,
        refusals=(400, 404, 409),
    )


def _abort(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([])

    async def abort_upload(request: Request) -> Response:
        """Abort an upload and erase its parts."""
        query.read(request)
        await blobs.abort(request.path_params["upload_id"], user_of(request))
        return Response(status_code=204)

    return Operation(
        family="abort_upload",
        method="DELETE",
        path=_UPLOAD_PATH,
        handler=abort_upload,
        parameters=[_UPLOAD_ID],
        summary="Abort an upload",
        status=204,
        refusals=(400, 404),
    )


def _parse_new_upload(body: bytes) -> NewUpload:
    try:
        return _NEW_UPLOAD.validate_json(body)
    except ValidationError as error:
        details = error_items(error)
        if details[0]["type"] == "json_invalid":
            raise MalformedBody(f"The body is not JSON: {details[0]['msg']}.") from error
        errors = [FieldError(".".join(map(str, item["loc"])) or "(body)", item["msg"]) for item in details]
        raise InvalidData("The upload is not valid.", errors) from error


def _render_state(upload: Upload, parts: Sequence[int]) -> bytes:
    state = UploadState(
        upload_id=upload.upload_id,
        size=upload.size,
        part_size=upload.part_size,
        part_count=upload.part_count,
        parts=list(parts),
        expires_time=upload.expires,
        content_type=upload.content_type,
        filename=upload.filename,
    )
    return state.model_dump_json().encode()
