"""Retries: runs a transaction again after a conflict."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from random import random
from typing import TypeVar
from weakref import WeakValueDictionary

from autocrud.errors import Conflict, InvalidParameter
from autocrud.manager.transaction.transaction import Transaction

R = TypeVar("R")

Resource = tuple[str | None, str | None]  # name of the model, id

ATTEMPTS = 50
_MAX_WAIT_S = 0.02

_has_turn: ContextVar[bool] = ContextVar("has_turn", default=False)


class Retries:
    """Runs transactions again after a conflict.

    Retries that lost a race for the same resource wait for each other. Without that, of 200 writers of one resource
    each round would let one succeed, and the others would run up to 200 times. Now each runs about twice. Writers of
    other processes still compete.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Resource, asyncio.Lock] = WeakValueDictionary()

    async def run(
        self, begin: Callable[[], Transaction], function: Callable[[Transaction], Awaitable[R]], attempts: int
    ) -> R:
        """Return the result of a function whose transaction committed.

        Raises:
            InvalidParameter: `attempts` is less than 1.
            Conflict: the last attempt lost a race, too.
        """
        if attempts < 1:
            raise InvalidParameter("attempts", "must be at least 1")
        contended: Resource | None = None
        while True:
            async with self._turn(contended):
                while True:
                    attempts -= 1
                    try:
                        return await self._run_once(begin, function)
                    except Conflict as error:
                        if attempts == 0:
                            raise
                        previous, contended = contended, (error.operation_model, error.operation_id)
                    if contended != previous:
                        break
                    # The winner belongs to another process, or did not wait for its turn.
                    await asyncio.sleep(random() * _MAX_WAIT_S)

    async def _run_once(self, begin: Callable[[], Transaction], function: Callable[[Transaction], Awaitable[R]]) -> R:
        async with begin() as transaction:
            return await function(transaction)

    @asynccontextmanager
    async def _turn(self, resource: Resource | None) -> AsyncIterator[None]:
        """Wait for the other retries that lost a race for this resource; for none if None."""
        # A function that calls `transact` itself would wait for its own turn.
        if resource is None or _has_turn.get():
            yield
            return
        lock = self._locks.setdefault(resource, asyncio.Lock())
        async with lock:
            token = _has_turn.set(True)
            try:
                yield
            finally:
                _has_turn.reset(token)
