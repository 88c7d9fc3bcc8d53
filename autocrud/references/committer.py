"""Committer: commits writes with their references and on-delete actions, over the models of one store."""

from collections.abc import Sequence
from dataclasses import dataclass

from autocrud.references.graph import Graph, ModelNode
from autocrud.storage.ports.transactions import Transaction, TransactionItem, TransactionOutcome, VersionCheck
from autocrud.storage.ports.types import Head, Outcome, Write, abort_unless_all_accepted


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """A write of a transaction.

    Attributes:
        node: model of the resource.
        before: the resource before the write, with the effects of earlier writes of the transaction. None if it does
            not exist.
    """

    node: ModelNode
    write: Write
    before: Head | None


class ReferenceCommitter:
    """Commits writes of the models of a service, and keeps their references intact."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def commit(self, items: Sequence[PlannedWrite | VersionCheck]) -> TransactionOutcome:
        """Commit a transaction over models of one store, with the on-delete actions of its deletes.

        Args:
            items: writes and checks in order. A resource may have several writes, which follow each other.

        Returns the outcome of each item. A refusal of an on-delete action is the outcome of the delete that caused it.
        If one item is refused, nothing is stored, and the outcome of the items without a fault is `Aborted`.
        """
        refused: list[Outcome] = [
            item.node.storage.prepare(item.write) if isinstance(item, PlannedWrite) else None for item in items
        ]
        if any(refused):
            return abort_unless_all_accepted(refused)
        store = next((item.node.storage.store for item in items if isinstance(item, PlannedWrite)), None)
        if store is None:
            return refused
        found: list[TransactionItem] = [item.write if isinstance(item, PlannedWrite) else item for item in items]
        return (await store.commit([Transaction(found)]))[0]
