"""Endpoint `POST /transaction`: operations on several models, which all take effect, or none."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from autocrud.errors import AlreadyExists, AutoCRUDError, InvalidParameter, PreconditionFailed
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.manager.transaction.transaction import Transaction
from autocrud.resource import is_resource_id
from autocrud.routes.apply_checks import TRANSACTION
from autocrud.routes.endpoints.bulk import EXAMPLE_ITEMS, BulkItem
from autocrud.routes.guards import Guards
from autocrud.routes.openapi.transaction_body import transaction_completion, transaction_example
from autocrud.routes.operation import Operation
from autocrud.routes.request.body import read_json_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.new_ids import NewIds
from autocrud.routes.request.query_parameters import QueryReader
from autocrud.routes.request.transaction_reader import OPS, RawOperation, ServedModel, declare_new_ids, read_operations
from autocrud.routes.response.envelope import JsonResponse
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.versioning.stored_resource import Resource

_SMALL_BODY = 16 * 1024  # bytes that are parsed faster than a thread starts

Transact = Callable[..., Awaitable[Any]]


class TransactionAnswer(BaseModel):
    """Results of all operations."""

    items: list[BulkItem]


class TransactionEndpoint:
    """Runs the operations of a request in one transaction.

    Args:
        models: models that take part, by name.
        transact: `AutoCRUD.transact`.
        limit: maximum size of a body, in bytes.
    """

    def __init__(self, models: Mapping[str, ServedModel], transact: Transact, guards: Guards, limit: int) -> None:
        self._models = models
        self._transact = transact
        self._guards = guards
        self._limit = limit
        self._query = QueryReader([])

    def operation(self) -> Operation:
        """Return the operation of the route."""
        models = list(self._models)
        return Operation(
            family=TRANSACTION,
            method="POST",
            path=f"/{TRANSACTION}",
            handler=self.serve,
            parameters=[],
            request_body={"required": True, "content": {"application/json": {"example": transaction_example(models)}}},
            complete=transaction_completion(models, OPS),
            summary="Write to several models",
            model=TransactionAnswer,
            example={"items": EXAMPLE_ITEMS},
            refusals=(400, 409, 413, 415, 422),
        )

    async def serve(self, request: Request) -> Response:
        """Apply operations on several models, at most 1,000: all or none.

        `$name` as the `id` of a create stands for its new id, also in other ids and in reference fields. `check` only
        compares `if_match`. A problem has the number of the refused `operation`, and its `model`.
        """
        self._query.read(request)
        if "idempotency-key" in request.headers:
            message = "is not read by a transaction; use if_match, if_none_match or ids of your own"
            raise InvalidParameter("Idempotency-Key", message)
        body = await read_json_body(request, self._limit)
        if len(body) <= _SMALL_BODY:
            operations = read_operations(self._models, body)
        else:
            operations = await asyncio.to_thread(read_operations, self._models, body)
        models = {operation.model_name: operation.model for operation in operations}
        await self._guards.check(request, body, [item for model in models.values() for item in model.dependencies])
        new_ids = declare_new_ids(operations)

        async def run(transaction: Transaction) -> list[bytes]:
            await transaction.preload(_literal_ids(operations))
            items: list[bytes] = []
            time_slice = TimeSlice()
            for operation in operations:
                items.append(await self._run(transaction, operation, new_ids))
                await time_slice.check()
            return items

        try:
            items = await self._transact(run, by=user_of(request))
        except AlreadyExists as error:
            raise await self._refusal_of(operations, error) from error
        return JsonResponse(b'{"items":[%s]}' % b",".join(items))

    async def _run(self, transaction: Transaction, raw: RawOperation, new_ids: NewIds) -> bytes:
        """Run one operation. Return its result."""
        try:
            operation = raw.read(new_ids)
        except AutoCRUDError as error:
            raw.name(error)
            raise
        resource_id = raw.resource_id
        if isinstance(operation, BulkOperation):
            resource, status = await self._write(transaction, raw, operation)
        else:
            resource_id = new_ids.resolve("id", resource_id)
            resource, status = await transaction.check(raw.model_name, resource_id, if_match=operation), 200
        if raw.new_name is not None:
            new_ids.bind(raw.new_name, resource.resource_id)
        return (
            f'{{"index":{raw.number},"status":{status},"id":"{resource.resource_id}",'
            f'"version":{resource.head.version},"etag":"\\"{resource.tag}\\""}}'
        ).encode()

    async def _write(
        self, transaction: Transaction, raw: RawOperation, operation: BulkOperation
    ) -> tuple[Resource[Any], int]:
        model, resource_id, tags = raw.model_name, operation.resource_id or "", operation.if_match
        if operation.op is BulkOp.create or operation.if_absent:
            resource = await transaction.create(
                model,
                operation.value,
                resource_id=operation.resource_id,
                on_conflict=operation.on_conflict,
                max_bytes=self._limit,
            )
            return resource, 201 if resource.is_new else 200
        if operation.op is BulkOp.update:
            return await transaction.replace(model, resource_id, operation.value, if_match=tags), 200
        if operation.op is BulkOp.patch and operation.patch is not None:
            patched = transaction.patch(model, resource_id, operation.patch, if_match=tags, max_bytes=self._limit)
            return await patched, 200
        if operation.op is BulkOp.delete:
            return await transaction.delete(model, resource_id, if_match=tags), 204
        return await transaction.restore(model, resource_id, if_match=tags), 200

    async def _refusal_of(self, operations: Sequence[RawOperation], error: AlreadyExists) -> AutoCRUDError:
        """Return the error of a create whose id is taken: a failed precondition if it had `if_none_match`."""
        if error.operation is None or not operations[error.operation].must_be_absent:
            return error
        raw = operations[error.operation]
        head = await raw.model.routes.manager.node.storage.get(error.resource_id, current=True)
        refusal = PreconditionFailed(error.resource_id, None if head is None else head.tag)
        raw.name(refusal)
        return refusal


def _literal_ids(operations: Sequence[RawOperation]) -> dict[str, list[str]]:
    """Return the ids that operations on existing resources name, by model."""
    found: dict[str, dict[str, None]] = {}
    for operation in operations:
        resource_id = operation.resource_id
        if operation.op != "create" and isinstance(resource_id, str) and is_resource_id(resource_id):
            found.setdefault(operation.model_name, {})[resource_id] = None
    return {model: list(names) for model, names in found.items()}
