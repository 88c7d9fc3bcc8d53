"""Checks after a campaign: the changes, the reports and the state agree."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from autocrud import AutoCRUD
from autocrud.resource import CommitKind
from autocrud.storage.ports.transactions import START, Position, StoreChange, TransactionStore
from autocrud.storage.ports.types import Head
from autocrud.versioning.stored_resource import Resource
from tests.faults.bank.journal import Journal
from tests.faults.bank.models import ACCOUNTS, MODELS, OPENING_BALANCE, Account, Note

ResourceName = tuple[str, str]  # name of the model, id

_PAGE = 20
_CONCURRENT_READS = 64


async def read_changes(store: TransactionStore) -> list[StoreChange]:
    """Return all changes of a store."""
    found, position = list[StoreChange](), START
    while page := await store.changes(position, 1000):
        found += page
        position = page[-1].position
    return found


async def check_resumption(store: TransactionStore, positions: Iterable[Position], changes: list[StoreChange]) -> None:
    """Check the page behind each position. By induction, a follower that resumes there gets the whole rest."""
    order = [change.position for change in changes]
    wanted = [START, *positions]
    for start in range(0, len(wanted), _CONCURRENT_READS):
        chunk = wanted[start : start + _CONCURRENT_READS]
        pages = await asyncio.gather(*(store.changes(position, _PAGE) for position in chunk))
        for position, page in zip(chunk, pages, strict=True):
            place = bisect_right(order, position)
            assert page == changes[place : place + _PAGE], position


class History:
    """All changes that a follower has reported or that are still there, erased changes included."""

    def __init__(self, journal: Journal, changes: list[StoreChange]) -> None:
        self.journal = journal
        self.changes = changes
        self.by_position: dict[Position, StoreChange] = {}
        for change in [*changes, *(change for followed in journal.followed.values() for change in followed)]:
            assert self.by_position.setdefault(change.position, change) == change
        self.purged = {
            (change.model, change.resource_id): change.position for change in changes if change.kind is CommitKind.purge
        }

    def is_erased(self, change: StoreChange) -> bool:
        """Return True if a later purge has erased a change."""
        purged_at = self.purged.get((change.model, change.resource_id))
        return purged_at is not None and change.position < purged_at

    def check(self) -> None:
        """Check order, completeness and the reports."""
        self._check_order()
        self._check_followers()
        self._check_transfers()
        self._check_answers()

    def _check_order(self) -> None:
        """Sequences have no gaps, and the versions of each resource ascend by one."""
        positions = [change.position for change in self.changes]
        assert positions == sorted(set(positions))
        sequences = sorted({position.sequence for position in self.by_position})
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        versions: dict[ResourceName, list[int]] = {}
        for position in sorted(self.by_position):
            change = self.by_position[position]
            versions.setdefault((change.model, change.resource_id), []).append(change.version)
        for name, found in versions.items():
            assert found == list(range(1, len(found) + 1)), name
        assert [change for change in self.by_position.values() if not self.is_erased(change)] == self.changes

    def _check_followers(self) -> None:
        """Each follower has seen every change up to its end, in order, except for changes that were erased before."""
        for followed in self.journal.followed.values():
            positions = [change.position for change in followed]
            assert positions == sorted(set(positions))
            expected = [change for change in self.changes if change.position <= positions[-1]]
            assert [change for change in followed if not self.is_erased(change)] == expected

    def _check_transfers(self) -> None:
        """Each transaction of a transfer is there as a whole: both accounts and the transfer, side by side."""
        parts = {
            position
            for position, change in self.by_position.items()
            if change.kind is CommitKind.update and change.model == "account"
        }
        for position, change in self.by_position.items():
            if change.kind is CommitKind.create and change.model == "transfer":
                for distance in (1, 2):
                    parts.remove(Position(position.sequence, position.ordinal - distance))
        assert not parts

    def _check_answers(self) -> None:
        """An acknowledged operation is there, and a refused create is not."""
        kinds = {(change.kind.value, change.model, change.resource_id) for change in self.by_position.values()}
        for operation in self.journal.accepted:
            assert (operation.kind, operation.model, operation.resource_id) in kinds, operation
        for operation in self.journal.refused:
            if operation.kind == "create":
                assert ("create", operation.model, operation.resource_id) not in kinds, operation


async def finish_tasks(crud: AutoCRUD) -> None:
    """Finish the pending on-delete tasks."""
    managers = [crud.manager(model) for model in MODELS]
    for manager in managers:
        await manager.references.drain()
    while any([await manager.node.storage.pending_deletions(None, 1) for manager in managers]):
        for manager in managers:
            await manager.run_maintenance()


async def check_state(crud: AutoCRUD, changes: Sequence[StoreChange]) -> dict[ResourceName, Head]:
    """Check balances, references, and the versions against the changes. Return all resources."""
    found = {(model, item.resource_id): item for model in MODELS for item in await _all_of(crud, model)}
    versions = {(change.model, change.resource_id): change.version for change in changes}
    for change in changes:
        if change.kind is CommitKind.purge:
            del versions[change.model, change.resource_id]
    assert {name: item.meta.version for name, item in found.items()} == versions
    live = {name for name, item in found.items() if not item.meta.is_deleted}
    balances = [item.data.balance for item in found.values() if isinstance(item.data, Account)]
    assert len(balances) == len(ACCOUNTS)
    assert sum(balances) == OPENING_BALANCE * len(ACCOUNTS)
    for name in live:
        note = found[name].data
        if isinstance(note, Note):
            assert ("transfer", note.transfer) in live
            assert note.answers is None or ("note", note.answers) in live
    return {name: item.head for name, item in found.items()}


async def _all_of(crud: AutoCRUD, model: str) -> list[Resource[Any]]:
    manager, found, cursor = crud.manager(model), list[Resource[Any]](), None
    while True:
        page = await manager.search(include_deleted=True, limit=1000, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found
