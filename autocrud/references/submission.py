"""Submission: commits planned transactions, and tells what to do with a refused one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autocrud.errors import (
    Aborted,
    AlreadyExists,
    AutoCRUDError,
    Conflict,
    StorageUnavailable,
    UnhandledReferrers,
)
from autocrud.references.graph import Graph, ModelNode
from autocrud.references.plan import Hint, Plan
from autocrud.references.planned_writes import PlannedItem, PlannedWrite, ResourceName
from autocrud.references.refusals import knows_referrers, translate
from autocrud.schema.markers import OnDelete
from autocrud.storage.decision.references import UnplannedReferrers
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.transactions import Dependent, Transaction, TransactionOutcome, VersionCheck
from autocrud.storage.ports.types import Outcome, abort_unless_all_accepted


@dataclass(slots=True)
class Submission:
    """Items of one transaction, with the additions of their plan.

    Attributes:
        numbers: numbers of the items in the plan.
        additions: writes of dependents, and names of dependents, each with the number of the causing item.
        outcome: outcomes of the items, in the names of models. A refused addition is the outcome of its cause.
        refused_additions: writes of dependents that their model does not accept, with the refusals.
        hints: referrers that the commit found, and the plan did not.
        is_outdated: True if another plan may succeed.
    """

    numbers: list[int]
    items: list[PlannedItem]
    additions: list[tuple[int, PlannedWrite | Dependent]]
    outcome: TransactionOutcome = field(default_factory=list)
    refused_additions: dict[ResourceName, str] = field(default_factory=dict)
    hints: list[Hint] = field(default_factory=list)
    is_outdated: bool = False

    @property
    def is_accepted(self) -> bool:
        """True if the transaction is committed."""
        return not any(self.outcome)

    def tasks(self) -> list[tuple[int, PlannedWrite]]:
        """Return the deletes with an on-delete task, each with the number of the causing item."""
        planned = zip(self.numbers, self.items, strict=True)
        pairs = [*planned, *self.additions] if self.is_accepted else []
        return [(number, item) for number, item in pairs if isinstance(item, PlannedWrite) and item.write.has_task]


def submissions(items: Sequence[PlannedItem], parts: Sequence[Sequence[int]], plan: Plan) -> list[Submission]:
    """Return the transactions of a plan.

    Args:
        parts: numbers of the items of each transaction.
    """
    for number, item in enumerate(items):
        if isinstance(item, PlannedWrite) and item.is_removing:
            item.write.has_task = number in plan.tasks
    part_of = {number: position for position, part in enumerate(parts) for number in part}
    found = [Submission(list(part), [items[number] for number in part], []) for part in parts]
    for cause, write in plan.additions:
        found[part_of[cause]].additions.append((cause, write))
    for cause, dependent in plan.dependents:
        found[part_of[cause]].additions.append((cause, dependent))
    return found


async def submit_plain(graph: Graph, writes: Sequence[PlannedWrite], *, atomic: bool) -> list[Outcome]:
    """Commit writes of one model without a plan. Return their outcomes."""
    node = writes[0].node
    found = await node.storage.commit_all([item.write for item in writes], atomic=atomic)
    return [None if refused is None else translate(graph, node, refused) for refused in found]


async def submit(graph: Graph, transactions: Sequence[Submission]) -> None:
    """Commit transactions over the models of one store, in order, and set their outcomes."""
    node = _find_node(graph, [item for each in transactions for item in each.items])
    contents = [[*each.items, *(item for _, item in each.additions)] for each in transactions]
    outcomes = await _prepare(contents)
    accepted = [number for number, refused in enumerate(outcomes) if not any(refused)]
    found = await _commit(node, [contents[number] for number in accepted]) if accepted else []
    for number, outcome in zip(accepted, found, strict=True):
        outcomes[number] = outcome
    for each, content, outcome in zip(transactions, contents, outcomes, strict=True):
        _judge(graph, node, each, content, abort_unless_all_accepted(outcome))


def _find_node(graph: Graph, items: Sequence[PlannedItem]) -> ModelNode:
    """Return a model of the store of these items."""
    for item in items:
        if isinstance(item, PlannedWrite):
            return item.node
    folders = {item.model for item in items if isinstance(item, VersionCheck)}
    return next(node for node in graph.nodes.values() if node.spec.folder in folders and node.storage.store is not None)


async def _prepare(contents: Sequence[Sequence[PlannedItem | Dependent]]) -> list[TransactionOutcome]:
    """Prepare all writes. Return their refusals."""
    found: list[TransactionOutcome] = []
    time_slice = TimeSlice()
    for content in contents:
        found.append([])
        for item in content:
            found[-1].append(item.node.storage.prepare(item.write) if isinstance(item, PlannedWrite) else None)
            await time_slice.check()
    return found


async def _commit(node: ModelNode, contents: Sequence[Sequence[PlannedItem | Dependent]]) -> list[TransactionOutcome]:
    store = node.storage.store
    if store is not None:
        raw = [[item.write if isinstance(item, PlannedWrite) else item for item in content] for content in contents]
        return await store.commit([Transaction(items) for items in raw])
    groups = [[item.write for item in content if isinstance(item, PlannedWrite)] for content in contents]
    if all(len(group) == 1 for group in groups):
        return [[outcome] for outcome in await node.storage.commit_all([group[0] for group in groups])]
    return [await node.storage.commit_all(group, atomic=True) for group in groups]


def _judge(
    graph: Graph,
    node: ModelNode,
    submission: Submission,
    content: Sequence[PlannedItem | Dependent],
    outcome: TransactionOutcome,
) -> None:
    """Set the outcome of a submission, and what another plan has to know."""
    count = len(submission.items)
    outcomes, extra = outcome[:count], outcome[count:]
    outdated_positions: set[int] = set()
    for position, refused in enumerate(outcomes):
        if isinstance(refused, UnplannedReferrers) and knows_referrers(graph, node, refused):
            outdated_positions.add(position)
            submission.hints += _hints(graph, node, refused)
        outcomes[position] = None if refused is None else translate(graph, _node_of(content[position], node), refused)
    if any(_is_fault(refused) for position, refused in enumerate(outcomes) if position not in outdated_positions):
        # Another plan cannot succeed. The refusals of an outdated plan would hide the fault, such as a lost race.
        submission.outcome = [
            Aborted() if position in outdated_positions else refused for position, refused in enumerate(outcomes)
        ]
        return
    submission.is_outdated = bool(outdated_positions)
    for (cause, addition), refused in zip(submission.additions, extra, strict=True):
        if refused is None or isinstance(refused, Aborted):
            continue
        if isinstance(refused, UnplannedReferrers):
            is_lost_race = knows_referrers(graph, node, refused)
            submission.hints += _hints(graph, node, refused)
        else:
            is_lost_race = isinstance(refused, Conflict | AlreadyExists)
        if is_lost_race:
            submission.is_outdated = True
            refused = _as_unhandled(graph, submission, cause, addition, refused)
        elif isinstance(addition, PlannedWrite) and not addition.is_removing and not _is_outage(refused):
            submission.is_outdated = True
            submission.refused_additions[addition.name] = str(refused)
        position = submission.numbers.index(cause)
        if outcomes[position] is None or isinstance(outcomes[position], Aborted):
            outcomes[position] = translate(graph, _node_of(addition, node), refused)
    submission.outcome = outcomes


def _hints(graph: Graph, node: ModelNode, refused: UnplannedReferrers) -> list[Hint]:
    store = node.storage.store
    target = graph.node_of_folder(store, refused.target[0])
    found: list[Hint] = []
    for referrer in refused.referrers:
        source = graph.node_of_folder(store, referrer.model)
        if target is not None and source is not None:
            name = (target.name, refused.target[1])
            found.append(Hint(name, source, referrer.resource_id, OnDelete(referrer.on_delete)))
    return found


def _as_unhandled(
    graph: Graph, submission: Submission, cause: int, addition: PlannedWrite | Dependent, refused: AutoCRUDError
) -> AutoCRUDError:
    """Return the error for a dependent that changes all the time. A caller must not mistake it for another conflict."""
    item = submission.items[submission.numbers.index(cause)]
    if isinstance(refused, UnplannedReferrers) or not isinstance(addition, PlannedWrite):
        return refused
    if not isinstance(item, PlannedWrite):
        return refused
    return UnhandledReferrers(item.name, addition.node.name, [addition.name[1]])


def _node_of(item: PlannedItem | Dependent, node: ModelNode) -> ModelNode:
    return item.node if isinstance(item, PlannedWrite) else node


def _is_fault(refused: Outcome) -> bool:
    return refused is not None and not isinstance(refused, Aborted)


def _is_outage(error: AutoCRUDError) -> bool:
    return isinstance(error, StorageUnavailable)
