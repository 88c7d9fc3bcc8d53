"""Store: the models of one storage factory, behind one group commit. They share one commit order."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from autocrud.errors import AutoCRUDError, StorageUnavailable
from autocrud.storage.commit_log.group_commit import GroupCommit
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.transactions import (
    START,
    Position,
    StoreChange,
    Transaction,
    TransactionItem,
    TransactionOutcome,
    TransactionStore,
)
from autocrud.storage.ports.types import Write

R = TypeVar("R")

# An answer takes some turns to get out, and the next request to come in.
_LOOP_YIELDS = 5

# A batch is one entry of the log, held in memory until it is stored.
_MAX_BATCH_BYTES = 8 * 1024 * 1024
_MAX_BATCH_TRANSACTIONS = 512
_MAX_GROUP_BYTES = 2 * 1024 * 1024  # of transactions that may be in several batches
_RECORD_BYTES = 1024  # about the size of a record without its data

# A caller that has waited this long, in seconds, gets an error. Its call goes on.
CALL_TIMEOUT_S = 10.0
_BYTES_PER_SECOND = 1024 * 1024  # least speed of a large group, beyond that


class Store(TransactionStore):
    """Commits transactions over the models of one engine, in batches.

    Args:
        name: name of the store for messages, such as `disk, in ./data`. It has no secrets.
    """

    def __init__(self, engine: StoreEngine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.call_timeout = CALL_TIMEOUT_S
        self._writer: GroupCommit[_Group, list[TransactionOutcome]] = GroupCommit(
            self._commit_groups,
            weight=lambda group: group.weight,
            max_weight=_MAX_BATCH_BYTES,
            loop_yields=_LOOP_YIELDS,
        )

    async def open(self) -> None:
        """Open the engine. See `StoreEngine.open`."""
        await self.engine.open()

    async def close(self) -> None:
        """Finish the commits in flight, and close the engine. Idempotent, also after a failed `open`."""
        await self._writer.drain(self.call_timeout)
        await self.engine.close()

    async def wait_for_pending(self) -> None:
        """Wait a limited time for the commits in flight. Commits that begin later go on."""
        await self._writer.wait_for_pending(self.call_timeout)

    async def commit(self, transactions: Sequence[Transaction]) -> list[TransactionOutcome]:
        groups = list(_split_into_groups(transactions))
        seconds = self.call_timeout + sum(group.size for group in groups) / _BYTES_PER_SECOND
        if len(groups) == 1:
            return await self._submit(groups[0], seconds)
        found = await asyncio.gather(*(self._submit(group, seconds) for group in groups))
        return list(chain.from_iterable(found))

    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        return await self.with_timeout(self.engine.changes(after, limit))

    async def last_position(self) -> Position:
        return await self.with_timeout(self.engine.last_position())

    async def with_timeout(self, call: Awaitable[R]) -> R:
        """Wait a limited time for a call.

        Raises:
            StorageUnavailable: there is no answer within the time.
        """
        try:
            async with asyncio.timeout(self.call_timeout):
                return await call
        except TimeoutError as error:
            raise _no_answer(self.call_timeout) from error

    async def _submit(self, group: "_Group", seconds: float) -> list[TransactionOutcome]:
        try:
            return await self._writer.submit(group, seconds)
        except TimeoutError:
            error: AutoCRUDError = _no_answer(seconds)
        except AutoCRUDError as refusal:
            error = refusal
        return [[error] * len(transaction.items) for transaction in group.transactions]

    async def _commit_groups(self, groups: Sequence["_Group"]) -> list[list[TransactionOutcome]]:
        batch = list(chain.from_iterable(group.transactions for group in groups))
        outcomes = iter(await self.engine.commit(batch))
        return [list(islice(outcomes, len(group.transactions))) for group in groups]


def _no_answer(seconds: float) -> StorageUnavailable:
    return StorageUnavailable(f"no answer within {seconds:g} s; whether a write was made, a read will tell.")


class _Group(NamedTuple):
    """Transactions that a batch never cuts, and the size of their records in bytes."""

    transactions: Sequence[Transaction]
    size: int

    @property
    def weight(self) -> int:
        """Part of a batch that the group fills, in bytes: by its size, or by the number of its transactions."""
        return max(self.size, len(self.transactions) * _MAX_BATCH_BYTES // _MAX_BATCH_TRANSACTIONS)


def _split_into_groups(transactions: Sequence[Transaction]) -> Iterator[_Group]:
    """Yield the transactions in order, in groups."""
    group: list[Transaction] = []
    size = 0
    for transaction in transactions:
        group.append(transaction)
        size += sum(map(_item_bytes, transaction.items))
        if size >= _MAX_GROUP_BYTES or len(group) >= _MAX_BATCH_TRANSACTIONS:
            yield _Group(group, size)
            group, size = [], 0
    if group:
        yield _Group(group, size)


def _item_bytes(item: TransactionItem) -> int:
    return _RECORD_BYTES + len(item.data or b"") if isinstance(item, Write) else _RECORD_BYTES
