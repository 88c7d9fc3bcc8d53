"""Endpoints that upload blobs and download them through a resource."""

import inspect
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated
from urllib.parse import quote
from uuid import uuid4

from fastapi import Path, Request
from pydantic import StringConstraints
from starlette.responses import Response, StreamingResponse

from autocrud.errors import AutoCRUDError
from autocrud.manager.blobs import ResourceBlobs, StoredBlob
from autocrud.routes.operation import HEAD_ONLY, ModelRoutes, Operation
from autocrud.routes.request.byte_ranges import Span, http_date, is_unchanged_since, ranges_of
from autocrud.routes.request.etag import etag, matches_if_none_match
from autocrud.routes.request.query_parameters import IF_NONE_MATCH, INCLUDE_DELETED, RESOURCE_ID, Parameter, header
from autocrud.routes.request.upload_stream import upload_stream
from autocrud.routes.response.envelope import JsonResponse
from autocrud.schema.binary import EXAMPLE, FILE_ID_PATTERN, FILENAME_PATTERN, Binary

logger = logging.getLogger(__name__)

OCTETS = {"type": "string", "format": "binary"}
_FILENAME = Parameter(
    "filename",
    Annotated[str, StringConstraints(pattern=FILENAME_PATTERN)],
    None,
    "Name of the file, if the body is the file.",
    "hello.txt",
)
_REDIRECT = Parameter(
    "redirect", bool, False, "Allow a 307 to a temporary URL, if the service is configured for redirects."
)
_FILE_ID = inspect.Parameter(
    "file_id",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str,
        Path(description="The SHA-256 of the bytes.", pattern=FILE_ID_PATTERN, examples=[EXAMPLE["file_id"]]),
    ],
)
_RANGE = header("Range", "Ranges of bytes to return: 206, or 416 if none can be satisfied.", "bytes=0-4")
_IF_RANGE = header("If-Range", "Return the range only if the blob has this `ETag` or date, else the whole blob.", '"x"')


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `upload_blob` and `read_blob`, if the model has a binary field."""
    if routes.spec.has_blobs:
        yield _upload(routes)
        yield _read(routes)


def _upload(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([_FILENAME])

    async def upload_blob(request: Request) -> Response:
        """Upload a blob of any size, as the body or as the only file of a form.

        The answer is the value of a `Binary` field. Equal bytes are stored once. A blob can be downloaded once a
        resource refers to it.
        """
        filename = query.read(request)[0]["filename"]
        file = await upload_stream(request, blobs.max_bytes, filename)
        binary = await blobs.upload(file.pieces, content_type=file.content_type, filename=file.filename)
        return JsonResponse(binary.model_dump_json().encode(), 201)

    form = {"type": "object", "required": ["file"], "properties": {"file": OCTETS}}
    body = {
        "required": False,  # an empty blob can be uploaded, too
        "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": OCTETS}},
    }
    return Operation(
        family="upload_blob",
        method="POST",
        path="/blobs",
        handler=upload_blob,
        parameters=query.to_openapi(),
        request_body=body,
        summary=f"Upload a blob for {routes.noun}",
        status=201,
        model=Binary,
        example=EXAMPLE,
        refusals=(400, 413),
    )


def _read(routes: ModelRoutes) -> Operation:
    blobs, query = routes.manager.blobs, routes.query([INCLUDE_DELETED, _REDIRECT])

    async def read_blob(request: Request) -> Response:
        """Download a blob through a resource with a revision that refers to it.

        A full download is verified against the hash. An answer shorter than its `Content-Length` is damaged.
        """
        values = query.read(request)[0]
        file_id = request.path_params["file_id"]
        resource_id = request.path_params["resource_id"]
        stored = await blobs.get(resource_id, file_id, include_deleted=values["include_deleted"])
        headers = {
            "etag": etag(file_id),
            "last-modified": http_date(stored.created_time),
            "accept-ranges": "bytes",
            "content-disposition": _content_disposition(stored.filename),
            # The media type comes from the uploading client; browsers must not guess another, such as HTML.
            "x-content-type-options": "nosniff",
        }
        if matches_if_none_match(request, file_id) or is_unchanged_since(request, stored.created_time):
            return Response(status_code=304, headers=headers)
        if values["redirect"] and routes.redirect_seconds:
            link_headers = {"content-type": stored.content_type, "content-disposition": headers["content-disposition"]}
            location = await blobs.link(stored, routes.redirect_seconds, link_headers)
            if location is not None:
                # The URL expires, so a cached redirect would lead nowhere.
                return Response(status_code=307, headers={"location": location, "cache-control": "no-store"})
        spans = ranges_of(request, file_id, stored.created_time, stored.blob.size)
        return await _bytes_response(request, blobs, stored, spans, headers)

    parameters = [RESOURCE_ID, _FILE_ID, *query.to_openapi(), IF_NONE_MATCH, _RANGE, _IF_RANGE]
    return Operation(
        family="read_blob",
        method="GET",
        path="/{resource_id}/blobs/{file_id}",
        handler=read_blob,
        parameters=parameters,
        summary=f"Download a blob of {routes.noun}",
        headers=("ETag", "Last-Modified", "Content-Disposition", "Accept-Ranges"),
        content={key: {"schema": OCTETS, "example": "hello"} for key in ("application/octet-stream", "*/*")},
        other_statuses=(304, 206, 307),
        refusals=(400, 404, 410, 416),
    )


async def _bytes_response(
    request: Request, blobs: ResourceBlobs, stored: StoredBlob, spans: Sequence[Span], headers: dict[str, str]
) -> Response:
    """Return all bytes, one range, or several ranges as `multipart/byteranges` (RFC 9110, 14.6)."""
    size, media_type = stored.blob.size, stored.content_type
    if len(spans) > 1:
        boundary = uuid4().hex
        opening = f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: bytes"
        heads = [f"{opening} {start}-{end - 1}/{size}\r\n\r\n".encode() for start, end in spans]
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = sum(end - start for start, end in spans) + sum(map(len, heads)) + len(tail)
        pieces = _multipart_pieces(blobs, stored, spans, heads, tail)
        media_type = f"multipart/byteranges; boundary={boundary}"
    else:
        start, end = spans[0] if spans else (0, size)
        length, pieces = end - start, blobs.read(stored, start, end)
        if spans:
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers |= {"content-length": str(length), "content-type": media_type}
    status = 206 if spans else 200
    if HEAD_ONLY in request.scope:
        return Response(status_code=status, headers=headers)
    # Read the first piece before the headers are sent, so that an early error has its own status.
    first = await anext(pieces, b"")
    return StreamingResponse(_remaining_pieces(first, pieces, stored), status, headers)


async def _multipart_pieces(
    blobs: ResourceBlobs, stored: StoredBlob, spans: Sequence[Span], heads: Sequence[bytes], tail: bytes
) -> AsyncIterator[bytes]:
    for (start, end), head in zip(spans, heads, strict=True):
        yield head
        async for piece in blobs.read(stored, start, end):
            yield piece
    yield tail


async def _remaining_pieces(first: bytes, pieces: AsyncIterator[bytes], stored: StoredBlob) -> AsyncIterator[bytes]:
    """Yield the remaining pieces. An error ends the connection, so that a partial blob cannot look complete."""
    yield first
    try:
        async for piece in pieces:
            yield piece
    except AutoCRUDError as error:
        logger.error("the answer with blob %s ends early: %s", stored.blob.file_id, error)
        raise


def _content_disposition(filename: str | None) -> str:
    """Return a `Content-Disposition` that saves the file and never displays it (RFC 6266, RFC 8187)."""
    # A browser that displayed an uploaded HTML file would run its scripts in the origin of the service.
    if filename is None:
        return "attachment"
    plain = "".join(char if char.isascii() and char not in '"\\' else "_" for char in filename)
    extended = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{plain}"{extended}'
