"""Endpoint `POST /{model}/bulk`: many operations in one request, streamed in both directions."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from autocrud.errors import (
    BulkRefused,
    FieldError,
    InvalidData,
    PreconditionFailed,
    StorageUnavailable,
    UnsupportedMediaType,
)
from autocrud.errors.base import shorten
from autocrud.manager.bulk.operation import BulkOp, BulkOperation, BulkResult
from autocrud.manager.bulk.steps import iterate_portions
from autocrud.routes.openapi.request_bodies import bulk_completion
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.body import body_stream, media_type_of, read_text_body, skip_bom
from autocrud.routes.request.bulk_reader import OperationReader
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.etag import etag
from autocrud.routes.request.query_parameters import PREFER, Parameter, prefers_minimal
from autocrud.routes.response.envelope import JsonResponse
from autocrud.routes.response.problems import STATUSES, Problem, problem_of, problem_response
from autocrud.routes.response.spool import SpooledBuffer

logger = logging.getLogger(__name__)

NDJSON = "application/x-ndjson"
MAX_ATOMIC = 5000  # operations
_LINES = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
_ATOMIC = Parameter("atomic", bool, False, f"Apply all operations, at most {MAX_ATOMIC}, or none.")
_STATUS = {BulkOp.delete: 204}


class BulkItem(BaseModel):
    """Result of an operation."""

    index: int = Field(description="Position of the operation, from 0.", examples=[0])
    status: int = Field(description="Status that the operation would have alone.", examples=[201])
    id: str | None = Field(description="Id of the resource.", examples=["a-1"])
    version: int = Field(0, description="Version of the resource after the operation.", examples=[1])
    etag: str = Field(
        "",
        description="Tag of the resource after the operation, for `if_match`.",
        examples=['"1-20260102030405000000"'],
    )
    outcome: str = Field("", description="`unknown` if the operation may have taken effect.")
    problem: Problem | None = Field(None, description="Problem of the operation.")


class BulkAnswer(BaseModel):
    """Results of all operations."""

    items: list[BulkItem] = Field(description="Results; with `Prefer: return=minimal` only failures.")
    succeeded: int = Field(examples=[1])
    failed: int = Field(examples=[0])
    problem: Problem | None = Field(None, description="Outage that stopped the later operations.")


class BulkResponse(Response):
    """Streams lines while the request arrives.

    Starlette's own streaming response listens for a disconnect, and would consume the request's body.
    """

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(media_type=NDJSON)
        # The length of the response is not known yet.
        del self.headers["content-length"]
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send lines as fast as the client reads them. Stop if the client disconnects."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        spool = SpooledBuffer()
        filling = asyncio.ensure_future(self._fill(spool))
        try:
            while lines := await spool.get():
                await send({"type": "http.response.body", "body": lines, "more_body": True})
            await filling
        except ClientDisconnect:
            logger.info("%s %r: the client disconnected", scope["method"], shorten(scope["path"]))
            return
        finally:
            filling.cancel()
            # The task may use the spool's file until it has ended.
            await asyncio.wait([filling])
            await spool.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _fill(self, spool: SpooledBuffer) -> None:
        try:
            async for lines in self._lines:
                await spool.put(lines)
        finally:
            await self._lines.aclose()
            await spool.end()


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `bulk`."""
    manager, limit, query = routes.manager, routes.max_body_bytes, routes.query([_ATOMIC])
    reader = OperationReader(routes.spec, limit, routes.needs_if_match)

    async def bulk(request: Request) -> Response:
        """Create, update, patch, delete and restore resources: one operation per line of NDJSON, or a JSON array.

        Operations run in order. Each has a result with the status that it would have alone. `Prefer: return=minimal`
        returns only failures and the totals. With `atomic=true` all operations take effect, or none (409).
        """
        atomic, is_lines = query.read(request)[0]["atomic"], _is_lines(request)
        if is_lines and not atomic:
            portions = reader.read_lines(skip_bom(body_stream(request)))
            results_stream = manager.bulk.stream(portions, by=user_of(request), max_bytes=limit)
            return BulkResponse(_answer_lines(results_stream, prefers_minimal(request)))
        body = await read_text_body(request, limit)
        if is_lines:
            operations = [
                operation async for portion in reader.read_lines(_iterate_single(body)) for operation in portion
            ]
        else:
            operations = await reader.read_array(body)
        if atomic:
            return await _all_or_none(routes, request, operations, is_lines)
        stream = manager.bulk.stream(iterate_portions(operations), by=user_of(request), max_bytes=limit)
        results, outage = await _collect_results(stream)
        return _build_response(results, prefers_minimal(request), outage)

    yield Operation(
        family="bulk",
        method="POST",
        path="/bulk",
        handler=bulk,
        parameters=[*query.to_openapi(), PREFER, routes.body()],
        request_body=_request_body(routes),
        complete=bulk_completion(routes.spec.label, has_unique=bool(routes.spec.unique_constraints)),
        summary=f"Write many {routes.nouns}",
        model=BulkAnswer,
        example=_EXAMPLE,
        content={NDJSON: {"schema": {"type": "string"}, "example": _EXAMPLE_LINES}},
        refusals=(400, 409, 413, 415, 422),
    )


async def _all_or_none(
    routes: ModelRoutes, request: Request, operations: Sequence[BulkOperation], is_lines: bool
) -> Response:
    if len(operations) > MAX_ATOMIC:
        error = FieldError("atomic", f"takes at most {MAX_ATOMIC} operations")
        raise InvalidData("The request has too many operations for one commit.", [error])
    try:
        results = await routes.manager.bulk.atomic(operations, by=user_of(request), max_bytes=routes.max_body_bytes)
    except BulkRefused as refusal:
        status, title = STATUSES[BulkRefused]
        items = [from_json(line_of(result)) for result in refusal.results if isinstance(result, BulkResult)]
        return problem_response(status, title, refusal.code, str(refusal), results=items)
    if not is_lines:
        return _build_response(results, prefers_minimal(request), None)
    content = b"" if prefers_minimal(request) else b"".join(map(line_of, results))
    return Response(content, 200, media_type=NDJSON)


async def _answer_lines(
    results_stream: AsyncGenerator[list[BulkResult], None], minimal: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the answer's lines, chunk by chunk."""
    begun = failed = 0
    try:
        async for results in results_stream:
            begun += len(results)
            failures = [result for result in results if result.error is not None]
            failed += len(failures)
            if lines := b"".join(map(line_of, failures if minimal else results)):
                yield lines
        if minimal:
            yield b'{"succeeded":%d,"failed":%d}\n' % (begun - failed, failed)
    except StorageUnavailable as error:
        yield b'{"begun":%d,"problem":%s}\n' % (begun, bytes(problem_of(error).body))
    finally:
        await results_stream.aclose()


async def _collect_results(
    results_stream: AsyncGenerator[list[BulkResult], None],
) -> tuple[list[BulkResult], StorageUnavailable | None]:
    results: list[BulkResult] = []
    try:
        async for chunk in results_stream:
            results += chunk
    except StorageUnavailable as error:
        return results, error
    return results, None


async def _iterate_single(item: Any) -> AsyncGenerator[Any, None]:
    yield item


def _build_response(results: Sequence[BulkResult], minimal: bool, outage: StorageUnavailable | None) -> Response:
    failures = [result for result in results if result.error is not None]
    visible_results = failures if minimal else results
    items = b",".join([line_of(result)[:-1] for result in visible_results])
    members = b"" if outage is None else b',"problem":%s' % bytes(problem_of(outage).body)
    numbers = (len(results) - len(failures), len(failures))
    return JsonResponse(b'{"items":[%s],"succeeded":%d,"failed":%d%s}' % (items, *numbers, members))


def line_of(result: BulkResult) -> bytes:
    """Return a result as a line of the answer."""
    if result.error is None:
        status = 201 if result.created else _STATUS.get(result.op, 200)
        return (
            f'{{"index":{result.index},"status":{status},"id":"{result.resource_id}",'
            f'"version":{result.version},"etag":"\\"{result.tag}\\""}}\n'
        ).encode()
    response = problem_of(result.error)
    if response.status_code >= 500:
        logger.error("operation %d: %s", result.index, result.error, exc_info=result.error)
    members = b""
    if isinstance(result.error, PreconditionFailed) and result.error.current is not None:
        members += b'"etag":%s,' % to_json(etag(result.error.current))
    if result.unknown:
        members += b'"outcome":"unknown",'
    resource_id = to_json(result.resource_id)
    return b'{"index":%d,"status":%d,"id":%s,%s"problem":%s}\n' % (
        result.index, response.status_code, resource_id, members, bytes(response.body),
    )  # fmt: skip


def _is_lines(request: Request) -> bool:
    media_type = media_type_of(request)
    if media_type in _LINES:
        return True
    if media_type == "application/json" or media_type.endswith("+json"):
        return False
    error = FieldError("Content-Type", f"must be application/json or {NDJSON}, not {media_type or 'nothing'}")
    raise UnsupportedMediaType("The body must be JSON or NDJSON.", [error])


_ID, _TAG = "a-1", '"1-20260102030405000000"'
EXAMPLE_ITEMS = [{"index": 0, "status": 201, "id": _ID, "version": 1, "etag": _TAG}]
_EXAMPLE = {
    "items": EXAMPLE_ITEMS,
    "succeeded": 1,
    "failed": 0,
}
_EXAMPLE_LINES = to_json(EXAMPLE_ITEMS)[1:-1].decode() + "\n"


def _request_body(routes: ModelRoutes) -> dict[str, Any]:
    example = routes.example
    operations: list[dict[str, Any]] = [
        {"op": "create", "data": example},
        {"op": "patch", "id": _ID, "if_match": _TAG, "merge": {}},
        {"op": "delete", "id": _ID},
        {"op": "restore", "id": _ID},
    ]
    lines = b"".join(to_json(operation) + b"\n" for operation in operations[1:]).decode()
    return {
        "required": True,
        "content": {
            "application/json": {"example": {"operations": operations}},
            NDJSON: {"schema": {"type": "string", "format": "binary"}, "example": lines},
        },
    }
