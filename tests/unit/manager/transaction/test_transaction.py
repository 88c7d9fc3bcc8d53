"""Transactions over models in Python."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, Transaction, Unique
from autocrud.errors import (
    AlreadyExists,
    Conflict,
    Deleted,
    DifferentStores,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    TransactionClosed,
    UniqueViolation,
)
from autocrud.manager.transaction import journal
from autocrud.manager.upsert.claims import Claims
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.transactions import Transaction as StoreTransaction
from autocrud.storage.ports.transactions import TransactionOutcome
from autocrud.storage.ports.types import Head, Write
from autocrud.storage.store import Store


class Account(BaseModel):
    """An account."""

    balance: int = 0
    owner: Annotated[str | None, Unique()] = None


@dataclass
class Entry:
    """An entry of the journal of accounts."""

    text: str


@pytest.fixture
async def crud() -> AsyncIterator[AutoCRUD]:
    """Yield accounts, entries, and a model of another store."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Account)
    crud.add_model(Entry)
    crud.add_model(Entry, name="far", storage=MemoryStorageFactory())
    async with crud.running():
        yield crud


async def balance(crud: AutoCRUD, resource_id: str) -> int:
    """Return the balance of an account."""
    return (await crud.manager(Account).get(resource_id)).data.balance


async def test_transaction_commits_writes_to_two_models_at_its_exit(crud: AutoCRUD) -> None:
    """Nothing is visible before, and all writes have one request id and the author."""
    accounts, entries = crud.manager(Account), crud.manager(Entry)
    async with crud.transaction(by="ada") as tx:
        account = await tx.create(Account, Account(balance=5), resource_id="a")
        entry = await tx.create("entry", {"text": "opened"})
        patched = await tx.patch(Account, "a", {"balance": 6})
        assert (account.is_new, account.head.version, patched.head.version) == (True, 1, 2)
        assert (await tx.get(Account, "a")).data.balance == 6
        for manager, name in ((accounts, "a"), (entries, entry.resource_id)):
            with pytest.raises(NotFound):
                await manager.get(name)
    read = await accounts.get("a")
    assert (read.tag, read.data.balance, read.meta.created_by) == (patched.tag, 6, "ada")
    assert (await entries.get(entry.resource_id)).data == Entry("opened")


async def test_writes_of_a_transaction_have_one_request_id(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """A UUID, which differs from that of another transaction. Reads that are written to need no check."""
    commit, committed = Store.commit, list[StoreTransaction]()

    async def record(self: Store, transactions: Sequence[StoreTransaction]) -> list[TransactionOutcome]:
        committed.extend(transactions)
        return await commit(self, transactions)

    monkeypatch.setattr(Store, "commit", record)
    for _ in range(2):
        async with crud.transaction() as tx:
            account = await tx.create(Account, {})
            await tx.create(Entry, {"text": "x"})
            await tx.patch(Account, account.resource_id, {"balance": 1})
    async with crud.transaction() as tx:
        await tx.get(Account, account.resource_id)
        await tx.patch(Account, account.resource_id, {"balance": 2})
        await tx.get(Account, account.resource_id)
    requests = [{item.request for item in transaction.items if isinstance(item, Write)} for transaction in committed]
    assert [len(transaction.items) for transaction in committed] == [3, 3, 1]
    assert [len(names) for names in requests] == [1, 1, 1]
    assert len({UUID(name or "") for names in requests for name in names}) == 3


async def test_block_that_raises_stores_nothing(crud: AutoCRUD) -> None:
    """The error is that of the block."""

    async def fail() -> None:
        async with crud.transaction() as tx:
            await tx.create(Account, {}, resource_id="a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(NotFound):
        await crud.manager(Account).get("a")


async def test_refusal_at_the_exit_names_its_operation(crud: AutoCRUD) -> None:
    """And keeps its class. A refusal inside the block does so, too, and the transaction may go on."""
    await crud.manager(Account).create({"owner": "ada"}, resource_id="a")

    async def run(tx: Transaction) -> None:
        await tx.create(Entry, {"text": "x"}, resource_id="x")
        with pytest.raises(NotFound) as missing:
            await tx.patch(Account, "nobody", {})
        assert (missing.value.operation, missing.value.operation_model) == (1, "account")
        await tx.create(Account, {"owner": "ada"}, resource_id="b")

    with pytest.raises(UniqueViolation) as refusal:
        await crud.transact(run)
    error = refusal.value
    assert (error.operation, error.operation_model, error.operation_id) == (2, "account", "b")
    assert "In operation 2 of the transaction, on account." in error.__notes__
    with pytest.raises(NotFound):
        await crud.manager(Entry).get("x")


@pytest.mark.parametrize("writes", [True, False])
async def test_read_resource_that_changes_is_a_conflict(crud: AutoCRUD, writes: bool) -> None:
    """Also without a write to it, and also if it was missing, so that no write skew is possible."""
    accounts = crud.manager(Account)
    await accounts.create({}, resource_id="a")

    async def run(tx: Transaction, change: Callable[[], Awaitable[Any]]) -> None:
        await tx.get(Account, "a")
        with pytest.raises(NotFound):
            await tx.get(Account, "b")
        if writes:
            await tx.create(Entry, {"text": "x"}, resource_id="x")
        await change()

    changes = (lambda: accounts.patch("a", {"balance": 1}), lambda: accounts.create({}, resource_id="b"))
    for number, change in enumerate(changes):
        with pytest.raises(Conflict) as conflict:
            await crud.transact(partial(run, change=change), attempts=1)
        assert conflict.value.operation == number
    with pytest.raises(NotFound):
        await crud.manager(Entry).get("x")


async def test_create_after_a_read_of_a_missing_resource_is_a_conflict(crud: AutoCRUD) -> None:
    """So that `transact` runs the function again. Without the read, the id is taken."""

    async def create(tx: Transaction) -> None:
        await tx.create(Account, {}, resource_id="a")
        await crud.manager(Account).create({}, resource_id="a")

    async def read_and_create(tx: Transaction) -> None:
        with pytest.raises(NotFound):
            await tx.get(Account, "b")
        await tx.create(Account, {}, resource_id="b")
        await crud.manager(Account).create({}, resource_id="b")

    with pytest.raises(AlreadyExists):
        await crud.transact(create, attempts=1)
    with pytest.raises(Conflict):
        await crud.transact(read_and_create, attempts=1)


async def test_writes_see_each_other_in_every_kind(crud: AutoCRUD) -> None:
    """Create, replace, delete, restore, switch to a revision of this transaction, and no-op."""
    async with crud.transaction() as tx:
        first = await tx.create(Account, {"balance": 1}, resource_id="a")
        await tx.replace(Account, "a", Account(balance=2), if_match=first.tag)
        with pytest.raises(PreconditionFailed):
            await tx.delete(Account, "a", if_match=first.tag)
        same = await tx.patch(Account, "a", {"balance": 2})
        assert same.head.version == 2
        await tx.delete(Account, "a")
        with pytest.raises(Deleted):
            await tx.get(Account, "a")
        assert (await tx.get(Account, "a", include_deleted=True)).head.is_deleted
        with pytest.raises(AlreadyExists):
            await tx.create(Account, {}, resource_id="a")
        await tx.restore(Account, "a")
        switched = await tx.switch(Account, "a", "a:1")
        assert switched.data.balance == 1
        await tx.check(Account, "a", if_match=switched.tag)
    assert await balance(crud, "a") == 1
    async with crud.transaction() as tx:
        assert (await tx.switch(Account, "a", "a:2")).data.balance == 2
    revisions = await crud.manager(Account).revisions("a")
    assert [item.revision_id for item in revisions.items] == ["a:2", "a:1"]
    assert await balance(crud, "a") == 2


async def test_upsert_takes_a_holder_or_loses_a_race_with_a_conflict(crud: AutoCRUD) -> None:
    """64 parallel upserts of one value make one resource."""
    accounts = crud.manager(Account)

    async def lose(tx: Transaction) -> None:
        assert (await tx.create(Account, {"owner": "ada"}, on_conflict="return")).is_new
        await accounts.create({"owner": "ada"})

    with pytest.raises(Conflict, match="has taken the same owner meanwhile"):
        await crud.transact(lose, attempts=1)

    async def add(tx: Transaction) -> bool:
        resource = await tx.create(Account, {"owner": "bob", "balance": 1}, on_conflict="return")
        if not resource.is_new:
            await tx.patch(Account, resource.resource_id, {"balance": resource.data.balance + 1})
        return resource.is_new

    created = await asyncio.gather(*(crud.transact(add) for _ in range(64)))
    (bob,) = (await accounts.search({"owner": "bob"})).items
    assert (sum(created), bob.data.balance) == (1, 64)


async def test_transact_runs_again_after_a_conflict_a_bounded_number_of_times(crud: AutoCRUD) -> None:
    """Each attempt has a new transaction. Another error is not repeated."""
    accounts, runs = crud.manager(Account), list[Transaction]()
    await accounts.create({}, resource_id="a")

    async def lose(tx: Transaction) -> int:
        runs.append(tx)
        current = await tx.get(Account, "a")
        if len(runs) <= 3:
            await accounts.patch("a", {"balance": current.data.balance + 10})
        return (await tx.patch(Account, "a", {"balance": current.data.balance + 1})).data.balance

    with pytest.raises(Conflict):
        await crud.transact(lose, attempts=2)
    assert len(runs) == 2
    assert await crud.transact(lose) == await balance(crud, "a") == 31
    assert len({id(tx) for tx in runs}) == len(runs) == 4

    async def fail(tx: Transaction) -> None:
        runs.append(tx)
        raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        await crud.transact(fail)
    with pytest.raises(InvalidInput, match="attempts"):
        await crud.transact(fail, attempts=0)
    assert len(runs) == 5


async def test_nested_transact_does_not_wait_for_itself(crud: AutoCRUD) -> None:
    """A function that conflicts on the resource for which its caller retries."""
    await crud.manager(Account).create({}, resource_id="a")

    async def add(tx: Transaction) -> None:
        current = await tx.get(Account, "a")
        await asyncio.sleep(0)
        await tx.patch(Account, "a", {"balance": current.data.balance + 1})

    async def outer(tx: Transaction) -> None:
        await tx.get(Account, "a")
        await asyncio.gather(crud.transact(add), crud.transact(add))

    async with asyncio.timeout(10):
        with pytest.raises(Conflict):
            await crud.transact(outer, attempts=3)
    assert await balance(crud, "a") == 6


async def test_transaction_over_two_stores_is_refused_at_the_second_operation(crud: AutoCRUD) -> None:
    """The message names both models and both stores."""
    async with crud.transaction() as tx:
        await tx.create(Entry, {"text": "x"}, resource_id="x")
        with pytest.raises(DifferentStores, match="entry is in the store 'memory', and far is in the store") as refusal:
            await tx.get("far", "x")
        assert (refusal.value.code, refusal.value.operation) == ("different_stores", 1)
    assert (await crud.manager(Entry).get("x")).data.text == "x"


async def test_transaction_is_bounded_and_used_once(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1,000 operations, limited data, not before or after its block, and not twice."""
    tx = crud.transaction()
    with pytest.raises(TransactionClosed):
        await tx.get(Account, "a")
    async with tx:
        for number in range(1000):
            await tx.create(Account, {}, resource_id=f"a{number}")
        with pytest.raises(InvalidInput, match="more than 1000 operations"):
            await tx.get(Account, "a1")
    assert await crud.manager(Account).count() == 1000
    with pytest.raises(TransactionClosed):
        await tx.get(Account, "a1")
    with pytest.raises(TransactionClosed):
        async with tx:
            raise AssertionError
    monkeypatch.setattr(journal, "MAX_DATA_BYTES", 100)
    async with crud.transaction() as other:
        with pytest.raises(InvalidInput, match="larger than"):
            await other.create(Entry, {"text": "x" * 200})
        with pytest.raises(LookupError):
            await other.get(int, "a")
    await crud.manager(Entry).create({"text": "x" * 200}, resource_id="large")
    async with crud.transaction() as reader:
        with pytest.raises(InvalidInput, match="larger than"):
            await reader.get(Entry, "large")


async def test_concurrent_operations_of_one_transaction_keep_all_changes(crud: AutoCRUD) -> None:
    """They run one after the other."""
    await crud.manager(Account).create({}, resource_id="a")
    async with crud.transaction() as tx:
        await asyncio.gather(*(tx.patch(Account, "a", {"balance": number}) for number in range(1, 11)))
    assert (await crud.manager(Account).get("a")).head.version == 11


async def test_exit_waits_for_an_operation_of_another_task(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation is committed. One that has not begun is refused. Neither result is a write that nobody stores."""
    accounts = crud.manager(Account)
    await accounts.create({}, resource_id="a")
    read, is_reading, may_read = accounts.node.storage.get, asyncio.Event(), asyncio.Event()

    async def read_late(resource_id: str, *, current: bool = False) -> Any:
        is_reading.set()
        await may_read.wait()
        return await read(resource_id, current=current)

    monkeypatch.setattr(accounts.node.storage, "get", read_late)
    async with crud.transaction() as tx:
        first = asyncio.create_task(tx.patch(Account, "a", {"balance": 7}))
        await is_reading.wait()
        second = asyncio.create_task(tx.patch(Account, "a", {"balance": 8}))
        asyncio.get_running_loop().call_soon(may_read.set)
    assert (await first).data.balance == await balance(crud, "a") == 7
    with pytest.raises(TransactionClosed):
        await second


async def test_upserts_of_a_transaction_read_the_claims_of_a_resource_once(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work for n upserts grows with n, and a later upsert finds the resource of an earlier one."""
    calls: list[str] = []
    of_head = Claims.of_head

    def count(claims: Claims, head: Head) -> Any:
        calls.append(head.resource_id)
        return of_head(claims, head)

    monkeypatch.setattr(Claims, "of_head", count)
    async with crud.transaction() as tx:
        for number in range(20):
            await tx.create(Account, {"owner": f"o{number}"}, on_conflict="merge")
        again = await tx.create(Account, {"owner": "o7", "balance": 5}, on_conflict="merge")
        assert not again.is_new
    assert len(calls) == len(set(calls)) == 20


async def test_parallel_transfers_keep_the_sum(crud: AutoCRUD) -> None:
    """Money moves between random accounts, each read once and written once."""
    accounts = crud.manager(Account)
    for name in "abcd":
        await accounts.create({"balance": 100}, resource_id=name)

    def transfer(source: str, target: str) -> Any:
        async def run(tx: Transaction) -> None:
            first, second = await tx.get(Account, source), await tx.get(Account, target)
            await tx.patch(Account, source, {"balance": first.data.balance - 1})
            await tx.patch(Account, target, {"balance": second.data.balance + 1})

        return run

    pairs = [(source, target) for source in "abcd" for target in "abcd" if source != target] * 8
    await asyncio.gather(*(crud.transact(transfer(*pair)) for pair in pairs))
    assert [await balance(crud, name) for name in "abcd"] == [100] * 4
    assert {(await accounts.get(name)).head.version for name in "abcd"} == {1 + 6 * 8}
