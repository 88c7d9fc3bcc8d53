"""Tables of one model in memory: dicts with what the model's readers need."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.memory.indexes.row_index import RowIndex
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.types import Blob, Commit, OnDeleteTask


@dataclass(slots=True)
class MemoryTables:
    """Content of one model.

    Attributes:
        rows: the current state of each resource, by id.
        row_index: the indexes over `rows`.
        commits: the commits of each resource, oldest first.
        index_values: the index values after each of the commits.
        data: the stored data by locator.
        blobs: the registered blobs by their `file_id`.
        references: the blobs that each version of a resource refers to.
        blob_uses: the number of versions that refer to a blob.
        serials: the numbers of locators. A locator is never used twice.
        open_count: the number of open metadata stores over the tables.
        is_stored: True if anything was ever written to the model.
    """

    spec: ModelSpec[Any]
    rows: dict[str, Row] = field(default_factory=dict)
    row_index: RowIndex = field(init=False)
    commits: dict[str, list[Commit]] = field(default_factory=dict)
    index_values: dict[str, list[tuple[IndexValue, ...]]] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    references: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)
    blob_uses: dict[str, int] = field(default_factory=dict)
    pending: dict[OnDeleteTask, None] = field(default_factory=dict)
    serials: "count[int]" = field(default_factory=count)
    open_count: int = 0
    is_stored: bool = False

    def __post_init__(self) -> None:
        self.row_index = RowIndex(self.rows)
