"""Endpoints `GET /{model}/export` and `POST /{model}/import`."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from autocrud.errors import AutoCRUDError, FieldError, InvalidParameter, UnsupportedMediaType
from autocrud.manager.transfer.import_planner import Fate, OnDuplicate
from autocrud.manager.transfer.importer import Progress, Refusal
from autocrud.query.conditions import Condition
from autocrud.routes.endpoints.list import csv_content
from autocrud.routes.operation import HEAD_ONLY, ModelRoutes, Operation, metadata_examples
from autocrud.routes.request.body import body_stream, media_type_of, skip_bom
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.disconnect import DisconnectWatch
from autocrud.routes.request.filters import QB
from autocrud.routes.request.negotiation import CSV, preferred_type
from autocrud.routes.request.query_parameters import INCLUDE_DELETED, RAW, Parameter
from autocrud.routes.response.csv_table import MEDIA_TYPE as CSV_HEADER
from autocrud.routes.response.csv_table import CsvTable
from autocrud.routes.response.problems import problem_of
from autocrud.routes.response.spool import SpooledBuffer
from autocrud.storage.ports.types import Head

logger = logging.getLogger(__name__)

NDJSON = "application/x-ndjson"
_MEDIA_TYPES = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
_STALL_SECONDS = 60.0  # a client that reads nothing for this long counts as disconnected
_CHUNK_BYTES = 64 * 1024  # of a table
_LINES: dict[str, Any] = {"type": "string", "format": "binary", "description": "NDJSON: one JSON object per line."}

_HISTORY = Parameter(
    "history", bool, False, "Write a line per commit instead of the current state; includes deleted resources."
)
_ON_DUPLICATE = Parameter(
    "on_duplicate",
    OnDuplicate,
    OnDuplicate.error,
    "Handling of a line whose id belongs to a different resource: `error` refuses the line, `skip` skips it,"
    " `overwrite` purges the resource with its history, `new_revision` appends the data as a revision.",
)
_START = Parameter(
    "start", Annotated[int, Query(ge=0, le=2**53)], 0, "Number of lines to skip; an earlier import has done them."
)
_BLOBS = Parameter("blobs", bool, False, "Include the bytes of the blobs that the data refers to.")


class LineResponse(Response):
    """Streams lines, as NDJSON or CSV. On an error, closes the connection without the final chunk.

    A client that counts on the final chunk cannot take a partial export for a complete one. The lines are produced
    ahead of a client that reads slowly, so that the client holds no connection to a database.
    """

    media_type = NDJSON

    def __init__(self, lines: AsyncIterator[bytes], media_type: str = NDJSON) -> None:
        # Starlette's constructor would add Content-Length, which is not known yet.
        self.status_code = 200
        self.background = None
        self.raw_headers = [(b"content-type", media_type.encode())]
        self.lines: Any = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with DisconnectWatch(receive, after=0):
            async with aclosing(self.lines):
                # Read the first chunk before the headers are sent, so that an early error has its own status.
                piece = await anext(self.lines, b"")
                await self._start(send)
                await self._send_lines(send, piece, _STALL_SECONDS)
            await _send(send, b"", has_more=False)

    async def _send_lines(self, send: Send, piece: bytes, stall_seconds: float | None) -> None:
        """Send a first piece, which may be empty, and the lines."""
        spool = SpooledBuffer()
        work = asyncio.create_task(self._work(spool))
        try:
            piece = piece or await spool.get()
            while piece:
                async with asyncio.timeout(stall_seconds):
                    await _send(send, piece)
                piece = await spool.get()
            await work
        finally:
            work.cancel()
            # The task may use the spool's file until it has ended.
            await asyncio.wait([work])
            await spool.close()

    async def _work(self, spool: SpooledBuffer) -> None:
        try:
            async with aclosing(self.lines):
                async for line in self.lines:
                    await spool.put(line)
        finally:
            await spool.end()

    async def _start(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


class _ImportResponse(LineResponse):
    """Answers a body that is still arriving.

    Most clients read nothing before they have sent everything. A server that waits for them would wait for ever, so the
    answer waits in a buffer until the client reads.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._start(send)
        try:
            await self._send_lines(send, b"", None)
        except ClientDisconnect:
            return  # durable lines stay; the client may start again
        await _send(send, b"", has_more=False)


async def _send(send: Send, piece: bytes, *, has_more: bool = True) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": has_more})


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `export` and `import`."""
    yield _export(routes)
    yield _import(routes)


def _export(routes: ModelRoutes) -> Operation:
    transfer = routes.manager.transfer
    query = routes.query([QB, INCLUDE_DELETED, _HISTORY, _BLOBS, RAW], filters=True)

    async def export(request: Request) -> Response:
        """Export all resources that match the filters, in order of id, as of one moment, as NDJSON.

        A line has `meta`, `revision_info` and `data`. An export
        without the last line, `{"end":true,…}`, is incomplete. `Accept: text/csv` returns a row per resource.
        """
        values, where = query.read(request)
        if preferred_type(request, (NDJSON, CSV)) == CSV:
            lines, media_type = _csv_lines(routes, values, where), CSV_HEADER
        else:
            options = {name: values[name] for name in ("include_deleted", "history", "blobs", "raw")}
            lines, media_type = transfer.export(where, **options), NDJSON
        # The body of a HEAD response is not sent, so the export does not run.
        if HEAD_ONLY in request.scope:
            return Response(headers={"content-type": media_type})
        return LineResponse(lines, media_type)

    return Operation(
        family="export",
        method="GET",
        path="/export",
        handler=export,
        parameters=query.to_openapi(),
        filters=True,
        summary=f"Export {routes.nouns}",
        content={
            NDJSON: {"schema": _LINES, "example": _EXPORT_EXAMPLE},
            **csv_content(routes),
        },
        refusals=(400,),
        varies=True,
    )


def _csv_lines(routes: ModelRoutes, values: dict[str, Any], where: Condition | None) -> AsyncIterator[bytes]:
    """Return the chunks of an export as CSV.

    Raises:
        InvalidParameter: the request asks for a history, blobs or raw data, for which a table has no rows.
    """
    for name in ("history", "blobs", "raw"):
        if values[name]:
            raise InvalidParameter(name, "is not available as CSV")
    table = CsvTable(routes.shown_schema, {"meta", "data"}, {}, routes.spec.show)
    heads = routes.manager.transfer.heads(where, include_deleted=values["include_deleted"])
    return _render_table(table, heads)


async def _render_table(table: CsvTable, heads: AsyncIterator[Head]) -> AsyncIterator[bytes]:
    """Yield a table in chunks."""
    closable_heads: Any = heads
    buffer = bytearray(table.header)
    async with aclosing(closable_heads):
        async for head in closable_heads:
            buffer += table.row(head)
            if len(buffer) >= _CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
    yield bytes(buffer)


def _import(routes: ModelRoutes) -> Operation:
    transfer = routes.manager.transfer
    query = routes.query([_ON_DUPLICATE, _START])

    async def import_(request: Request) -> Response:
        """Import lines as an export writes them: states or histories, with or without blobs.

        A line `{"data": …}`, also with `id`, creates a resource. A line that equals the stored state changes nothing.

        The answer has a line for each refused line, `{"line": 7, "error": …}`, and progress lines: lines up to `line`
        are durable. If the last line has no `"end":true`, continue with its `start`.
        """
        values = query.read(request)[0]
        media_type = media_type_of(request)
        if media_type not in _MEDIA_TYPES:
            message = f"must be {NDJSON}, not {media_type or 'nothing'}"
            raise UnsupportedMediaType("The body must be lines of JSON.", [FieldError("Content-Type", message)])
        reports = transfer.load(
            skip_bom(body_stream(request)),
            on_duplicate=values["on_duplicate"],
            start=values["start"],
            by=user_of(request),
            # A stored body with its metadata may be longer than the body that the client sent.
            max_line_bytes=2 * routes.max_body_bytes,
        )
        return _ImportResponse(_render_reports(reports))

    line = json.dumps({"data": routes.example}, separators=(",", ":"))
    body = {"required": True, "content": {NDJSON: {"schema": _LINES, "example": line}}}
    counts = dict.fromkeys([fate.value for fate in Fate], 0) | {"failed": 0, "blobs": 0}
    example = json.dumps({"end": True, "line": 1, **counts, "created": 1})
    return Operation(
        family="import",
        method="POST",
        path="/import",
        handler=import_,
        parameters=query.to_openapi(),
        request_body=body,
        summary=f"Import {routes.nouns}",
        content={NDJSON: {"schema": _LINES, "example": example}},
        refusals=(400, 415),
    )


async def _render_reports(reports: AsyncIterator[Refusal | Progress]) -> AsyncIterator[bytes]:
    """Yield the reports as lines."""
    closable_reports: Any = reports
    async with aclosing(closable_reports):
        async for report in closable_reports:
            problem = b"" if report.error is None else b',"error":%s' % _render_problem(report.error)
            if isinstance(report, Refusal):
                yield b'{"line":%d%s}\n' % (report.line, problem)
                continue
            end = b'"end":%s,' % (b"true" if report.ended else b"false") if report.ended or report.error else b""
            yield b'{%s"line":%d,%s%s}\n' % (end, report.line, to_json(report.counts)[1:-1], problem)


def _render_problem(error: AutoCRUDError) -> bytes:
    """Return the problem of an error as a response would have it, and log what it hides."""
    response = problem_of(error)
    if response.status_code >= 500:
        logger.error("import: %s", error, exc_info=error)
    return bytes(response.body)


def _render_example(example: Any) -> str:
    """Return an example as a line of an export."""
    return json.dumps({part: example[part] for part in ("meta", "revision_info", "data")}, separators=(",", ":"))


# One for all models, because the example of the envelope has the data of each.
_EXPORT_EXAMPLE = _render_example({**metadata_examples(), "data": {"title": "Emma"}})
