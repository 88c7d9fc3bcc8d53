"""Plan: the on-delete actions that a transaction takes into itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autocrud.errors import AutoCRUDError
from autocrud.references.graph import ModelNode
from autocrud.references.planned_writes import FinalState, PlannedWrite, ResourceName
from autocrud.resource import ResourceMeta
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.transactions import Dependent
from autocrud.storage.ports.types import Head

# Dependents that change in the transaction of the delete. A task handles more of them.
MAX_DEPENDENTS = 1000
# Dependents that one delete may delete.
MAX_CASCADE = 10_000
# Data of dependents that a transaction holds in memory.
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hint:
    """A referrer that a commit found, and the plan before it did not: the index has no value of an unreadable document.

    Attributes:
        on_delete: on-delete action of the stored reference.
    """

    target: ResourceName
    node: ModelNode
    resource_id: str
    on_delete: OnDelete

    @property
    def name(self) -> ResourceName:
        """Name of the model, and id."""
        return self.node.name, self.resource_id


@dataclass(frozen=True, slots=True)
class Released:
    """A live resource that loses references to removed resources.

    Attributes:
        head: the stored resource; None if the transaction writes it.
        state: the resource after the transaction's own writes; None if the transaction does not write it.
    """

    node: ModelNode
    cause: int
    head: Head | None
    state: FinalState | None


@dataclass(frozen=True, slots=True)
class Cascaded:
    """A live resource that is deleted because the target of its reference is.

    Attributes:
        meta: metadata before the delete.
        before: the stored resource without its data; None if the transaction writes the resource.
    """

    node: ModelNode
    cause: int
    meta: ResourceMeta
    before: Head | None


@dataclass(slots=True)
class Plan:
    """Dependents of the deletes of a transaction.

    Attributes:
        additions: writes of the dependents, each with the number of the item that causes it.
        dependents: resources that a task is going to delete, each with the number of the item that causes it.
        tasks: numbers of the deletes that need an on-delete task.
        removed: number of the causing item of each resource that the transaction, or a task of it, removes.
        refusals: refusals of items, by number.
        links: pairs of items that share a dependent, by number.
        exceeds: True if a transaction cannot hold all dependents.
        keeping: resources that keep references to removed resources, with the reason.
    """

    additions: list[tuple[int, PlannedWrite]] = field(default_factory=list)
    dependents: list[tuple[int, Dependent]] = field(default_factory=list)
    tasks: set[int] = field(default_factory=set)
    removed: dict[ResourceName, int] = field(default_factory=dict)
    refusals: dict[int, AutoCRUDError] = field(default_factory=dict)
    links: set[tuple[int, int]] = field(default_factory=set)
    exceeds: bool = False
    keeping: dict[ResourceName, str] = field(default_factory=dict)


class Found:
    """Dependents that a walk has found.

    Attributes:
        removed: number of the causing item of each resource that the transaction removes, or a task deletes.
        released: resources that lose references.
    """

    def __init__(self, removed: dict[ResourceName, int]) -> None:
        self.removed = removed
        self.cascaded: dict[ResourceName, Cascaded] = {}
        self.released: dict[ResourceName, Released] = {}
        self.links: set[tuple[int, int]] = set()
        self._bytes = 0

    @property
    def exceeds(self) -> bool:
        """True if one transaction cannot hold all dependents."""
        return len(self.cascaded) + len(self.released) > MAX_DEPENDENTS or self._bytes > MAX_BYTES

    def link(self, causes: Sequence[int]) -> None:
        """Note that items have a dependent in common."""
        self.links |= {(causes[0], cause) for cause in causes[1:] if cause != causes[0]}

    def release(self, name: ResourceName, released: Released) -> None:
        """Note a resource that loses references."""
        former = self.released.setdefault(name, released)
        if former is not released:
            self.link([former.cause, released.cause])
        elif released.head is not None:
            self._bytes += len(released.head.data or b"")
