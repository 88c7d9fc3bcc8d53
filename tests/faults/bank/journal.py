"""Journal: the reports of the processes of a campaign."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from autocrud.storage.ports.transactions import START, Position, StoreChange

Kind = Literal["create", "delete", "purge"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Operation:
    """An operation of a client."""

    kind: Kind
    model: str
    resource_id: str


@dataclass(frozen=True)
class Accepted:
    """Report of an operation that was acknowledged."""

    operation: Operation


@dataclass(frozen=True)
class Refused:
    """Report of an operation that was refused."""

    operation: Operation


@dataclass(frozen=True)
class Followed:
    """Report of a follower: the changes behind a position."""

    follower: str
    after: Position
    changes: list[StoreChange]


Report = Accepted | Refused | Followed
Tell = Callable[[Report], None]


@dataclass
class Journal:
    """All reports of a campaign. Each follower resumes from the last position that it has reported."""

    accepted: list[Operation] = field(default_factory=list)
    refused: list[Operation] = field(default_factory=list)
    followed: dict[str, list[StoreChange]] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        """Add a report."""
        match report:
            case Accepted(operation):
                self.accepted.append(operation)
            case Refused(operation):
                self.refused.append(operation)
            case Followed(follower, after, changes):
                assert after == self.position(follower)
                self.followed.setdefault(follower, []).extend(changes)

    def position(self, follower: str) -> Position:
        """Return the last position that a follower has reported, or `START`."""
        changes = self.followed.get(follower)
        return changes[-1].position if changes else START

    def merge(self, others: Iterable["Journal"]) -> "Journal":
        """Add the reports of journals of other followers."""
        for other in others:
            self.accepted += other.accepted
            self.refused += other.refused
            assert not self.followed.keys() & other.followed.keys()
            self.followed |= other.followed
        return self
