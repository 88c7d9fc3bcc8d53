"""Clients of the bank, and a follower of its changes. All run until they are killed or cancelled."""

import asyncio
from collections import deque
from random import Random
from typing import Any

from autocrud import AutoCRUD
from autocrud.errors import AutoCRUDError, StorageUnavailable
from autocrud.manager.transaction.transaction import Transaction
from autocrud.resource import CommitKind
from autocrud.storage.ports.transactions import Position, StoreChange
from tests.faults.bank.journal import Accepted, Followed, Operation, Refused, Tell
from tests.faults.bank.models import ACCOUNTS, Account, Transfer, store_of

CLIENTS = 4
_RECENT = 16  # resources that clients refer to, delete and purge; few make many races
_PAGE_SIZES = (1, 7, 100, 1000)
_IDLE_S = 0.02


class Feed:
    """Recent resources, as a follower has seen them."""

    def __init__(self) -> None:
        self.recent: dict[str, deque[str]] = {"transfer": deque(maxlen=_RECENT), "note": deque(maxlen=_RECENT)}
        self.versions: dict[tuple[str, str], int] = {}

    def add(self, change: StoreChange) -> None:
        """Add a change that was reported."""
        self.versions[change.model, change.resource_id] = change.version
        if change.kind is CommitKind.create and change.model in self.recent:
            self.recent[change.model].append(change.resource_id)


async def follow(crud: AutoCRUD, tell: Tell, name: str, after: Position, feed: Feed, chance: Random) -> None:
    """Report all changes behind a position, and each later change."""
    store = store_of(crud)
    while True:
        try:
            page = await store.changes(after, chance.choice(_PAGE_SIZES))
        except StorageUnavailable:
            continue
        if page:
            tell(Followed(name, after, page))
            after = page[-1].position
            for change in page:
                feed.add(change)
        else:
            await asyncio.sleep(_IDLE_S)


class Client:
    """A client that runs random operations, one after the other.

    Args:
        name: prefix of the ids that it creates.
    """

    def __init__(self, crud: AutoCRUD, tell: Tell, name: str, feed: Feed, chance: Random) -> None:
        self._crud = crud
        self._tell = tell
        self._name = name
        self._feed = feed
        self._chance = chance

    async def run(self) -> None:
        """Run operations for ever. The outcome of an outage is unknown, and is not reported."""
        number = 0
        while True:
            number += 1
            operation = self._choose(f"{self._name}-{number}")
            if operation is None:
                await asyncio.sleep(_IDLE_S)
                continue
            try:
                if await self._execute(operation):
                    self._tell(Accepted(operation))
            except StorageUnavailable:
                continue
            except AutoCRUDError:
                self._tell(Refused(operation))

    def _choose(self, new_id: str) -> Operation | None:
        model = self._chance.choice(("transfer", "note"))
        kind = self._chance.choices(("create", "delete", "purge"), (6, 2, 1))[0]
        recent = self._feed.recent[model]
        if kind == "create":
            return Operation("create", model, new_id) if model == "transfer" or self._feed.recent["transfer"] else None
        if not recent:
            return None
        return Operation("delete" if kind == "delete" else "purge", model, self._chance.choice(recent))

    async def _execute(self, operation: Operation) -> bool:
        """Execute an operation. Return False if nothing was to be done."""
        model, resource_id = operation.model, operation.resource_id
        if operation.kind == "purge":
            return await self._purge(model, resource_id)
        if operation.kind == "delete":
            await self._crud.manager(model).delete(resource_id)
        elif model == "transfer":
            await self._crud.transact(lambda tx: self._transfer(tx, resource_id))
        else:
            await self._crud.manager(model).create(self._note(), resource_id=resource_id)
        return True

    async def _transfer(self, tx: Transaction, resource_id: str) -> None:
        payer, payee = self._chance.sample(ACCOUNTS, 2)
        amount = self._chance.randrange(1, 100)
        for name, difference in ((payer, -amount), (payee, amount)):
            account = await tx.get(Account, name)
            await tx.replace(Account, name, Account(balance=account.data.balance + difference))
        await tx.create(Transfer, Transfer(payer=payer, payee=payee, amount=amount), resource_id=resource_id)

    def _note(self) -> dict[str, Any]:
        notes = self._feed.recent["note"]
        answers = self._chance.choice(notes) if notes and self._chance.random() < 0.5 else None
        return {"transfer": self._chance.choice(self._feed.recent["transfer"]), "answers": answers}

    async def _purge(self, model: str, resource_id: str) -> bool:
        """Purge a resource unless it has changes that the follower has not reported."""
        manager = self._crud.manager(model)
        resource = await manager.get(resource_id, include_deleted=True)
        if resource.meta.version != self._feed.versions[model, resource_id]:
            return False
        await manager.purge(resource_id, if_match=resource.tag)
        return True


async def run_clients(crud: AutoCRUD, tell: Tell, name: str, follower: str, after: Position) -> None:
    """Run several clients and a follower for ever."""
    chance, feed = Random(name), Feed()
    async with asyncio.TaskGroup() as group:
        group.create_task(follow(crud, tell, follower, after, feed, chance))
        for number in range(CLIENTS):
            client = Client(crud, tell, f"{name}-{number}", feed, Random(f"{name}-{number}"))
            group.create_task(client.run())
