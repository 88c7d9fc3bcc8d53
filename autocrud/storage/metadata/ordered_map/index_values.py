"""Index values: computes the column values of heads from their data, by the model's code."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from autocrud.errors import DataCorrupted
from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.index_backfill.engine import ConversionError
from autocrud.storage.index_backfill.values import values_of
from autocrud.storage.ports.types import Head
from autocrud.storage.ports.versions import head_version

logger = logging.getLogger(__name__)

_READ_CONCURRENCY = 16  # of data that does not stand in the head


class ComputedValues(NamedTuple):
    """Index values of a resource.

    Attributes:
        faults: values that do not fit their columns, and are null.
        is_final: False if the values may change, because the data is of another schema version.
    """

    values: tuple[IndexValue, ...]
    faults: Sequence[ConversionError] = ()
    is_final: bool = True


class IndexValues:
    """Computes index values of one model.

    Args:
        read: returns the data at a locator.
    """

    def __init__(self, spec: ModelSpec[Any], read: Callable[[str], Awaitable[bytes]]) -> None:
        self._spec = spec
        self._read = read
        self._stored_index = StoredIndex(spec)
        self.no_values = ComputedValues((None,) * len(spec.index_fields))

    def begin_scan(self) -> None:
        """Forget the data of earlier scans that could not be upgraded."""
        self._stored_index.reset()

    def end_scan(self) -> None:
        """Log the data that could not be upgraded."""
        self._stored_index.report()

    async def compute(self, heads: Sequence[Head]) -> list[ComputedValues]:
        """Return the index values of each head. They are null if the data was pruned."""
        if not self._spec.index_fields or not heads:
            return [self.no_values] * len(heads)
        data = await self._load_data(heads)
        # Steps and large documents may be slow, and the event loop must not wait for them.
        return await asyncio.to_thread(self._compute_all, heads, data)

    def _compute_all(self, heads: Sequence[Head], data: Mapping[str, bytes]) -> list[ComputedValues]:
        return [self._compute(head, data.get(head.resource_id)) for head in heads]

    def _compute(self, head: Head, data: bytes | None) -> ComputedValues:
        if data is None:
            return self.no_values
        stored_index, version = self._stored_index, head_version(head)
        values = stored_index.stored_values(head.resource_id, data, version)
        faults: list[ConversionError] = []
        if stored_index.unfit_fields:
            unfit_fields = [field for field in self._spec.index_fields if field in stored_index.unfit_fields]
            stored_index.unfit_fields.clear()
            faults = [self._fault_of(field, head.resource_id, data, version) for field in unfit_fields]
        return ComputedValues(values, faults, stored_index.is_current(version))

    def _fault_of(self, field: IndexField, resource_id: str, data: bytes, version: int) -> ConversionError:
        # A set of unique fields can be too long although each of its fields fits.
        for fields in ((field,), self._spec.index_fields):
            try:
                values_of(self._stored_index, fields, resource_id, data, version)
            except ConversionError as error:
                if error.field == field:
                    return error
        return ConversionError(field, resource_id, "does not fit its column")

    async def _load_data(self, heads: Iterable[Head]) -> dict[str, bytes]:
        """Return the data of heads by id. Data that was pruned is left out."""
        found = {head.resource_id: head.data for head in heads if head.data}
        missing = [head for head in heads if head.data is None and head.locator]
        for start in range(0, len(missing), _READ_CONCURRENCY):
            chunk = missing[start : start + _READ_CONCURRENCY]
            for head, data in zip(chunk, await asyncio.gather(*map(self._try_read, chunk)), strict=True):
                if data is not None:
                    found[head.resource_id] = data
        return found

    async def _try_read(self, head: Head) -> bytes | None:
        try:
            return await self._read(head.locator)
        except DataCorrupted as error:  # or the data was erased meanwhile
            logger.error("%s: %r has no index values: %s", self._spec.name, head.resource_id, error)
            return None
