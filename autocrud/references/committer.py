"""Committer: commits writes with their references and on-delete actions, over the models of one store."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from autocrud.errors import Aborted, AutoCRUDError, StorageUnavailable
from autocrud.references.between_stores import OuterReferences
from autocrud.references.graph import Graph, ModelNode
from autocrud.references.on_delete import OnDeleteRunner
from autocrud.references.plan import Hint, Plan
from autocrud.references.planned_writes import PlannedItem, PlannedWrite, ResourceName
from autocrud.references.planner import DependentPlanner
from autocrud.references.refusals import refuse_dependents
from autocrud.references.submission import Submission, submissions, submit, submit_plain
from autocrud.references.write_order import Unit, units_of
from autocrud.storage.ports.transactions import TransactionOutcome
from autocrud.storage.ports.types import Outcome, abort_unless_all_accepted, on_delete_task_of

__all__ = ["PlannedItem", "PlannedWrite", "ReferenceCommitter"]

R = TypeVar("R")

logger = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 10.0  # limit for running commits when the service stops; unfinished actions stay pending
_MAX_PLANS = 20  # for one transaction, if new referrers appear each time
_MAX_HINTS = 2  # for one referrer; it may have changed between the commit and the next plan
_MAX_ROOTS = 200  # deletes that are planned together


class ReferenceCommitter:
    """Commits writes of the models of a service, and keeps their references intact.

    References inside a store are judged by the commit. The committer plans before it: it reads the referrers of
    deleted resources, and adds their changes to the transaction. It plans again if the commit refuses an outdated plan.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._planner = DependentPlanner(graph)
        self._outer = OuterReferences(graph)
        self._on_delete = OnDeleteRunner(graph, self.commit_all)
        self._calls: set[asyncio.Future[Any]] = set()

    async def commit(self, items: Sequence[PlannedItem]) -> TransactionOutcome:
        """Commit a transaction over models of one store, with the on-delete actions of its deletes.

        Args:
            items: writes and checks in order. A resource may have several writes, which follow each other.

        Returns the outcome of each item. A refusal of an on-delete action is the outcome of the delete that caused it.
        If one item is refused, nothing is stored, and the outcome of the items without a fault is `Aborted`. After
        `StorageUnavailable` the outcome is unknown, or a delete is committed with unfinished on-delete actions.

        Raises:
            StorageUnavailable: an outage before the commit. Nothing is stored.
        """
        if not items:
            return []
        writes = [item for item in items if isinstance(item, PlannedWrite)]
        if self._needs_plan(writes):
            return await self._run_to_end(self._commit(items))
        if len(writes) == len(items) and len({item.node for item in writes}) == 1:
            return self._complete_outcome(items, await submit_plain(self._graph, writes, atomic=len(writes) > 1))
        (submission,) = submissions(items, [range(len(items))], Plan())
        await submit(self._graph, [submission])
        return self._complete_outcome(items, submission.outcome)

    async def commit_all(self, writes: Sequence[PlannedWrite]) -> list[Outcome]:
        """Commit independent writes of one model, like the storage's `commit_all`.

        The writes may refer to each other, in any order and in cycles. Resources that are deleted together do not
        prevent each other's delete. A write that refers to a refused one is refused.
        """
        outcomes: list[Outcome] = [None] * len(writes)
        if self._needs_plan(writes):
            await self._run_to_end(self._commit_all(writes, outcomes))
        elif writes and any(item.target is item.source for item in self._graph.outgoing(writes[0].node.name)):
            await self._commit_all(writes, outcomes)
        elif writes:
            return await submit_plain(self._graph, writes, atomic=False)
        return outcomes

    async def finish(self, node: ModelNode) -> None:
        """Finish the pending on-delete tasks of one model."""
        await self._on_delete.finish(node)

    async def drain(self) -> None:
        """Wait a limited time for running commits. Unfinished on-delete actions stay pending."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_CALL_TIMEOUT_S)
        for call in list(self._calls):
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    def _needs_plan(self, writes: Sequence[PlannedWrite]) -> bool:
        kinds = self._graph.planned_kinds
        return any(item.write.kind in kinds[item.node.name] for item in writes)

    async def _run_to_end(self, work: Awaitable[R]) -> R:
        """Run the work to its end even if the caller is cancelled, because on-delete tasks follow the commit."""
        call = asyncio.ensure_future(work)
        self._calls.add(call)
        call.add_done_callback(self._done)
        return await asyncio.shield(call)

    def _done(self, call: "asyncio.Future[Any]") -> None:
        self._calls.discard(call)
        if not call.cancelled() and (error := call.exception()) is not None:
            logger.debug("%s", error)

    async def _commit(self, items: Sequence[PlannedItem]) -> TransactionOutcome:
        """Plan and commit a transaction until its plan is not outdated, and run its on-delete tasks."""
        excluded: dict[ResourceName, str] = {}
        hints: list[Hint] = []
        outcome: TransactionOutcome = []
        for _ in range(_MAX_PLANS):
            plan = await self._plan(items, excluded, hints)
            if plan.refusals:
                outcome = abort_unless_all_accepted([plan.refusals.get(number) for number in range(len(items))])
                break
            (submission,) = submissions(items, [range(len(items))], plan)
            await submit(self._graph, [submission])
            outcome = submission.outcome
            if not submission.is_outdated:
                failures = await self._finish_commit([submission], plan)
                return [failures.get(number, outcome[number]) for number in range(len(items))]
            excluded |= submission.refused_additions
            # A referrer that commits name again and again has stored references that its document, as read, has not.
            repeated = {hint.name for hint in submission.hints if hints.count(hint) >= _MAX_HINTS}
            excluded |= dict.fromkeys(repeated, "its document does not show the reference")
            hints += submission.hints
        return self._complete_outcome(items, outcome)

    async def _plan(
        self,
        items: Sequence[PlannedItem],
        excluded: Mapping[ResourceName, str] | None = None,
        hints: Sequence[Hint] = (),
    ) -> Plan:
        """Return the plan of the items, or their refusals."""
        missing = await self._outer.refuse_missing(items)
        if missing:
            return Plan(refusals=missing)
        plan = await self._planner.plan(items, excluded or {}, hints)
        plan.refusals |= await self._outer.refuse_deletes(plan.removed)
        return plan

    async def _commit_all(self, writes: Sequence[PlannedWrite], outcomes: list[Outcome]) -> None:
        run: list[Unit] = []
        for unit in units_of(writes, self._graph):
            if run and self._must_end(run, unit, writes):
                await self._commit_units(writes, run, outcomes)
                run = []
            run.append(unit)
        if run:
            await self._commit_units(writes, run, outcomes)

    def _must_end(self, run: Sequence[Unit], unit: Unit, writes: Sequence[PlannedWrite]) -> bool:
        """Return True if a unit must be planned after the units of a run are committed."""
        numbers = {number for each in run for number in each.numbers}
        if writes[0].node.storage.store is None and unit.follows & numbers:
            return True
        return (
            writes[unit.numbers[0]].is_removing and sum(writes[number].is_removing for number in numbers) >= _MAX_ROOTS
        )

    async def _commit_units(
        self, writes: Sequence[PlannedWrite], units: Sequence[Unit], outcomes: list[Outcome]
    ) -> None:
        """Plan and commit units together. Plan them in smaller parts if they cannot be planned together."""
        numbers = [number for unit in units for number in unit.numbers]
        items = [writes[number] for number in numbers]
        plan = await self._plan(items) if self._needs_plan(items) else Plan()
        refused = {numbers[place]: error for place, error in plan.refusals.items()}
        if refused:
            rest = await self._record_refused(writes, units, refused, outcomes)
            if rest:
                await self._commit_units(writes, rest, outcomes)
            return
        if plan.exceeds and len(units) > 1:
            half = len(units) // 2
            await self._commit_units(writes, units[:half], outcomes)
            await self._commit_units(writes, units[half:], outcomes)
            return
        places = {number: place for place, number in enumerate(numbers)}
        parts = _join(units, [(numbers[first], numbers[second]) for first, second in plan.links])
        found = submissions(
            items, [[places[number] for unit in part for number in unit.numbers] for part in parts], plan
        )
        await submit(self._graph, found)
        failures = await self._finish_commit(found, plan)
        for part, submission in zip(parts, found, strict=True):
            if submission.is_accepted or (len(submission.numbers) == 1 and not submission.is_outdated):
                for place, outcome in zip(submission.numbers, submission.outcome, strict=True):
                    outcomes[numbers[place]] = failures.get(place, outcome)
            else:
                for unit in part:
                    await self._commit_again(writes, unit, outcomes)

    async def _record_refused(
        self,
        writes: Sequence[PlannedWrite],
        units: Sequence[Unit],
        refused: dict[int, AutoCRUDError],
        outcomes: list[Outcome],
    ) -> list[Unit]:
        """Record refusals, by the numbers of the writes. Return the other units."""
        rest: list[Unit] = []
        for unit in units:
            if not refused.keys() & set(unit.numbers):
                rest.append(unit)
            elif len(unit.numbers) == 1:
                outcomes[unit.numbers[0]] = refused[unit.numbers[0]]
            else:
                await self._commit_again(writes, unit, outcomes)
        return rest

    async def _commit_again(self, writes: Sequence[PlannedWrite], unit: Unit, outcomes: list[Outcome]) -> None:
        """Commit a unit alone. A write of it that is refused because of another one is committed by itself."""
        found = await self._commit([writes[number] for number in unit.numbers])
        for number, outcome in zip(unit.numbers, found, strict=True):
            if isinstance(outcome, Aborted) and len(found) > 1:
                (outcome,) = await self._commit([writes[number]])
            outcomes[number] = outcome

    async def _finish_commit(self, committed: Sequence[Submission], plan: Plan) -> dict[int, AutoCRUDError]:
        """Run the on-delete tasks of committed deletes. Return the errors, by the numbers of the causing items."""
        if any(submission.is_accepted for submission in committed):
            for name, reason in plan.keeping.items():
                logger.warning("%s %r keeps its reference: %s", *name, reason)
        by_node: dict[ModelNode, list[tuple[int, PlannedWrite]]] = {}
        for number, item in (pair for submission in committed for pair in submission.tasks()):
            by_node.setdefault(item.node, []).append((number, item))
        failures: dict[int, AutoCRUDError] = {}
        for node, pairs in by_node.items():
            try:
                await self._on_delete.run(node, [on_delete_task_of(item.write) for _, item in pairs])
            except AutoCRUDError as error:
                logger.warning("%s: %s", node.name, error)
                text = f"Deleted, but some on-delete actions failed; the maintenance finishes them. {error}"
                failures |= {number: StorageUnavailable(text) for number, _ in pairs}
        return failures

    def _complete_outcome(self, items: Sequence[PlannedItem], outcome: TransactionOutcome) -> TransactionOutcome:
        """Return the outcome with the refusals of writes that refer to resources of refused writes."""
        writes = [(number, item) for number, item in enumerate(items) if isinstance(item, PlannedWrite)]
        found = [outcome[number] for number, _ in writes]
        if any(found):
            refuse_dependents([item for _, item in writes], found, self._graph)
        completed = list(outcome)
        for (number, _), refused in zip(writes, found, strict=True):
            completed[number] = refused
        return completed


def _join(units: Sequence[Unit], links: Sequence[tuple[int, int]]) -> list[list[Unit]]:
    """Return the units in parts. Units with linked numbers are in one part, at the place of its last unit."""
    part_of = {number: part for part in ([unit] for unit in units) for number in part[0].numbers}
    for first, second in links:
        joined, other = part_of[first], part_of[second]
        if joined is not other:
            joined += other
            part_of |= {number: joined for unit in other for number in unit.numbers}
    order = {id(unit): place for place, unit in enumerate(units)}
    parts = list({id(part): part for part in part_of.values()}.values())
    for part in parts:
        part.sort(key=lambda unit: order[id(unit)])
    return sorted(parts, key=lambda part: order[id(part[-1])])
