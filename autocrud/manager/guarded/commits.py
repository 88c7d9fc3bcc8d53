"""Guarded commits: the writes of a principal, judged before they are committed."""

from collections.abc import Sequence
from dataclasses import replace

from autocrud.errors import Aborted, AutoCRUDError
from autocrud.manager.guarded.judge import Judge
from autocrud.references.committer import PlannedItem, PlannedWrite, ReferenceCommitter
from autocrud.references.graph import Graph, ModelNode
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.storage.ports.transactions import TransactionOutcome
from autocrud.storage.ports.types import Head, Outcome, Write


class GuardedCommitter(ReferenceCommitter):
    """Commits writes of several models that a judge accepts.

    On-delete actions are those that the models declare. They need no right on the models of the referrers.

    Args:
        graph: the models with storages that hide nothing.
        inner: committer without rules.
    """

    def __init__(self, graph: Graph, judge: Judge, inner: ReferenceCommitter) -> None:
        self._models = graph
        self._judge = judge
        self._inner = inner

    async def commit(self, items: Sequence[PlannedItem]) -> TransactionOutcome:
        items = [self._as_inner(item) for item in items]
        refusals = [self._judge.refusal(item) if isinstance(item, PlannedWrite) else None for item in items]
        if not any(refusals):
            refusals = await self._find_hidden_targets(items)
        if any(refusals):
            return [refusal or Aborted() for refusal in refusals]
        outcomes = await self._inner.commit(items)
        return [await self._cleaned(outcome, item) for outcome, item in zip(outcomes, items, strict=True)]

    async def commit_all(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        inner = [replace(item, node=self._models.nodes[item.node.name]) for item in writes]
        hidden = await self._judge.hidden_targets(inner)
        refusals = [self._judge.refusal(item) or hidden.get(number) for number, item in enumerate(inner)]
        accepted = [item for item, refusal in zip(inner, refusals, strict=True) if refusal is None]
        outcomes = iter(await self._inner.commit_all(accepted) if accepted else ())
        return [
            await self._cleaned(next(outcomes), item) if refusal is None else refusal
            for item, refusal in zip(inner, refusals, strict=True)
        ]

    async def _find_hidden_targets(self, items: Sequence[PlannedItem]) -> list[Outcome]:
        """Return the refusal of each item with a new reference to a resource that the principal may not see."""
        numbers = [number for number, item in enumerate(items) if isinstance(item, PlannedWrite)]
        hidden = await self._judge.hidden_targets([item for item in items if isinstance(item, PlannedWrite)])
        found = {numbers[place]: refusal for place, refusal in hidden.items()}
        return [found.get(number) for number in range(len(items))]

    async def finish(self, node: ModelNode) -> None:
        await self._inner.finish(node)

    async def drain(self) -> None:
        await self._inner.drain()

    async def _cleaned(self, outcome: Outcome, item: PlannedItem) -> Outcome:
        if outcome is None or not isinstance(item, PlannedWrite):
            return outcome
        return await self._judge.cleaned(outcome, item.node.name)

    def _as_inner(self, item: PlannedItem) -> PlannedItem:
        """Return an item with the node that the committer without rules knows."""
        return replace(item, node=self._models.nodes[item.node.name]) if isinstance(item, PlannedWrite) else item


class GuardedIntegrity(ReferenceIntegrity):
    """Commits writes of one model that a judge accepts.

    Args:
        node, graph: the models with storages that hide nothing.
        inner: commits without rules.
    """

    def __init__(self, node: ModelNode, graph: Graph, judge: Judge, inner: ReferenceIntegrity) -> None:
        super().__init__(node, graph)
        self.committer = GuardedCommitter(graph, judge, inner.committer)
        self._judge = judge
        self._inner = inner

    async def commit(self, write: Write, before: Head | None) -> None:
        item = PlannedWrite(self._node, write, before)
        refusal = self._judge.refusal(item) or (await self._judge.hidden_targets([item])).get(0)
        if refusal is not None:
            raise refusal
        try:
            await self._inner.commit(write, before)
        except AutoCRUDError as error:
            cleaned = await self._judge.cleaned(error, self._node.name)
            if cleaned is error:
                raise
            raise cleaned from None
