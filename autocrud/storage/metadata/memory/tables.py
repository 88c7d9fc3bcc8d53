"""Tables of the memory metadata store: dicts with the content of one model."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.memory.indexes.row_index import RowIndex
from autocrud.storage.metadata.memory.rows import Claim
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.types import Blob, Commit, OnDeleteTask, RequestKey


@dataclass(slots=True)
class MemoryTables:
    """Content of one model.

    Attributes:
        rows: the current state of each resource, by id.
        row_index: the indexes over `rows`.
        commits: the commits of each resource, oldest first.
        index_values: the index values after each of the commits.
        data: the stored data by locator.
        keys: the idempotency keys, each with the id of the resource that the request created.
        references: the blobs that each version of a resource refers to.
        holders: the live resource that holds the values of a unique set.
        orphans: the keys of blobs that no resource refers to any more.
        serials: the numbers of locators. A locator is never used twice.
    """

    spec: ModelSpec[Any]
    rows: dict[str, Row] = field(default_factory=dict)
    row_index: RowIndex = field(init=False)
    commits: dict[str, list[Commit]] = field(default_factory=dict)
    index_values: dict[str, list[tuple[IndexValue, ...]]] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    keys: dict[str, tuple[RequestKey, str]] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    references: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)
    pending: dict[OnDeleteTask, None] = field(default_factory=dict)
    holders: dict[Claim, str] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)
    serials: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.row_index = RowIndex(self.rows)
