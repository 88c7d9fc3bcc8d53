"""Fills the columns of index fields that were added to a model later: in batches, while reads and writes go on.

Each batch is a transaction of its own, and what it reached is stored in the same one: a crash, or another process, goes
on from there. Writes have the values of all columns from the start, and a batch reads the data that it fills from as it
is then, so it never brings back what is older.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from autocrud.errors import ConfigurationError, DataCorrupted, IndexNotReady, InvalidData, StorageUnavailable
from autocrud.query.conditions import Query, leaves
from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.unique_constraints import UniqueConstraint
from autocrud.storage.ports.types import IndexProgress

logger = logging.getLogger(__name__)

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 5.0  # seconds, between two looks at what another node does
_READ_CONCURRENCY = 8
_REPORT_S = 0.5  # seconds between two reports of progress


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a column's backfill.

    Attributes:
        column: name of the column, as in `IndexField.column`.
        done: number of resources read so far, of `total` at the beginning.
    """

    column: str
    done: int
    total: int

    @property
    def percent(self) -> int:
        """Of the resources; 100 is not reached before the end."""
        return min(99, self.done * 100 // self.total) if self.total else 0


class ConversionError(Exception):
    """The data of a stored resource does not fit the column of a field."""

    def __init__(self, field: IndexField, resource_id: str, reason: str) -> None:
        super().__init__(f"{resource_id!r}: {field.name} {reason}")
        self.field = field


class NotUnique(Exception):
    """Stored resources share values that are to be unique."""

    def __init__(self, unique: UniqueConstraint) -> None:
        super().__init__(unique.name)
        self.unique = unique


class BackfillEngine(ABC):
    """Backfill of one model's columns and indexes in one database."""

    @abstractmethod
    async def begin(self) -> None:
        """Add the columns that are missing, and begin to fill what does not hold the model's values."""

    @abstractmethod
    async def restart_stale(self) -> None:
        """Begin again with the model's columns that a process wrote past which did not know them.

        Columns that another version of the model has since taken over are left to it.
        """

    @abstractmethod
    async def progress(self) -> list[Progress]:
        """The columns that are not filled."""

    @abstractmethod
    async def fill(self, fields: Sequence[IndexField], rows: int) -> bool:
        """Fill some rows of those of these fields that are furthest behind. False where another node is at it.

        Raises:
            ConversionError: stored data does not fit; nothing was changed.
            NotUnique: it has a unique index, which refuses it; nothing was changed.
        """

    @abstractmethod
    async def index(self, postponed: Collection[str]) -> bool:
        """Create the indexes that are wanted but for these columns', drop those that no longer are.

        False where another node is at it.

        Raises:
            NotUnique: a field is to be unique, and is not.
        """


class IndexBackfill:
    """Runs the backfills of one model, and knows the fields that cannot be queried yet.

    Attributes:
        rows: number of resources per batch.
    """

    rows = 500

    def __init__(self, spec: ModelSpec[Any], engine: BackfillEngine) -> None:
        self._spec = spec
        self._engine = engine
        self._pending: dict[str, Progress] = {}
        self._failed: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Fill what must be unique, then go on with the rest in the background.

        Raises:
            ConfigurationError: a field is to be unique, and cannot be.
        """
        self._failed = {}
        unique = {field for unique_set in self._spec.unique_constraints for field in unique_set.fields}
        await self._engine.begin()
        await self._refresh_progress()
        try:
            await self._fill(lambda: [field for field in self._unfilled_fields() if field in unique])
            await self._create_indexes()
        except ConversionError as error:
            raise ConfigurationError(f"{self._spec.type_name} {error}") from error
        except NotUnique as error:
            raise error.unique.duplicates_error(self._spec.type_name) from error
        self._start_task()

    async def resume(self) -> None:
        """Begin again with what older versions of the service have written past; returns before that is done."""
        if self._task is None or self._task.done():
            await self._engine.restart_stale()
            await self._refresh_progress()
            self._start_task()

    async def run(self) -> AsyncGenerator[IndexProgress, None]:
        """Fill all columns in the background. Yield the progress until they are filled, or cannot be."""
        await self.resume()
        while self._pending:
            slowest = min(self._pending.values(), key=lambda progress: progress.percent)
            failed = {
                field.name: self._failed[field.column]
                for field in self._spec.index_fields
                if field.column in self._failed
            }
            yield IndexProgress(slowest.done, slowest.total, failed)
            if self._task is None or self._task.done():
                return
            await asyncio.wait([self._task], timeout=_REPORT_S)

    async def close(self) -> None:
        """Stop between two batches. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def check(self, query: Query) -> None:
        """Make sure that what the query asks for is filled.

        Raises:
            IndexNotReady: a field is not.
        """
        if self._pending and query.at is None:  # what was has a table of its own, which a start fills
            self.require([*(leaf.field for leaf in leaves(query.where)), *(key.field for key in query.sort)])

    def require(self, fields: Iterable[Any]) -> None:
        """Make sure that these index fields are filled.

        Raises:
            IndexNotReady: one is not.
        """
        for field in fields:
            if isinstance(field, IndexField) and not field.is_meta and field.column in self._pending:
                failed = field.column in self._failed
                percent = self._pending[field.column].percent
                raise IndexNotReady(self._spec.name, field.name, None if failed else percent)

    async def step(self, fields: Sequence[IndexField]) -> bool:
        """Fill one batch; False where another node is at it."""
        return await self._engine.fill(fields, self.rows)

    def _start_task(self) -> None:
        if self._unfilled_fields():
            self._task = asyncio.create_task(self._run(), name=f"filling {self._spec.name}")

    async def _run(self) -> None:
        """The background task: nobody waits for it, so what goes wrong is logged, and the rest goes on."""
        delay = _FIRST_DELAY_S
        while self._unfilled_fields():
            try:
                await self._fill(self._unfilled_fields)
                await self._create_indexes()
                await self._refresh_progress()
            except ConversionError as error:
                self._fail(error.field.name, str(error))
            except NotUnique as error:
                for field in error.unique.fields:
                    self._fail(field.name, f"stored resources share {error.unique.name}")
            except StorageUnavailable as error:
                logger.warning("%s: filling index fields waits: %s", self._spec.name, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
            except Exception as error:  # the task's boundary: the fields stay away, and the service goes on
                logger.exception("%s: index fields cannot be filled", self._spec.name)
                self._failed |= dict.fromkeys(self._pending, str(error))

    async def _fill(self, select_fields: Callable[[], list[IndexField]]) -> None:
        """Fill these fields to their end; they stay pending until their indexes are there too."""
        delay, reported_percent = _FIRST_DELAY_S, 0
        while fields := select_fields():
            if await self.step(fields):
                delay = _FIRST_DELAY_S
            else:
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
            unfilled = {progress.column: progress for progress in await self._engine.progress()}
            self._pending = {column: unfilled.get(column, _as_filled(old)) for column, old in self._pending.items()}
            slowest = min((self._pending[field.column] for field in fields), key=lambda progress: progress.percent)
            if slowest.percent >= reported_percent + 5:
                reported_percent = slowest.percent
                self._log_progress(fields, slowest)
            if not any(field.column in unfilled for field in fields):
                break

    async def _create_indexes(self) -> None:
        """Make the indexes of what is filled, which then is ready."""
        delay = _FIRST_DELAY_S
        unfilled = {progress.column for progress in await self._engine.progress()}
        while not await self._engine.index(unfilled):
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)
        ready = self._pending.keys() - unfilled
        if ready:
            names = ", ".join(field.name for field in self._spec.index_fields if field.column in ready)
            logger.info("%s: index fields are filled: %s", self._spec.name, names)
        self._pending = {column: progress for column, progress in self._pending.items() if column in unfilled}

    async def _refresh_progress(self) -> None:
        self._pending = {progress.column: progress for progress in await self._engine.progress()}
        if fields := self._unfilled_fields():
            self._log_progress(fields, max(self._pending.values(), key=lambda progress: progress.total))

    def _unfilled_fields(self) -> list[IndexField]:
        columns = self._pending.keys() - self._failed.keys()
        return [field for field in self._spec.index_fields if field.column in columns]

    def _log_progress(self, fields: Iterable[IndexField], progress: Progress) -> None:
        names = ", ".join(field.name for field in fields)
        done, total = progress.done, progress.total
        logger.info("%s: filled index fields of %d of %d resources: %s", self._spec.name, done, total, names)

    def _fail(self, name: str, reason: str) -> None:
        logger.error("%s: the index field %s cannot be filled: %s", self._spec.name, name, reason)
        self._failed |= {field.column: reason for field in self._spec.index_fields if field.name == name}


def values_of(
    spec: ModelSpec[Any], fields: Sequence[IndexField], resource_id: str, data: bytes
) -> tuple[IndexValue, ...]:
    """The values of these fields for a resource's data.

    Raises:
        ConversionError: one does not fit its column.
    """
    try:
        return spec.index_values(data, fields)
    except InvalidData as error:
        for field in fields:
            for problem in error.errors:
                if problem.field == field.name:
                    raise ConversionError(field, resource_id, problem.message) from error
        raise


async def read_large_values(
    spec: ModelSpec[Any],
    fields: Sequence[IndexField],
    places: Sequence[tuple[str, str]],
    read: Callable[[str], Awaitable[bytes]],
) -> dict[tuple[str, str], tuple[IndexValue, ...] | Exception]:
    """The values of fields for data that stands elsewhere, by the resource and the locator, or why there are none.

    That counts if the resource has not changed meanwhile. The data itself, which is large, is not kept.
    """

    async def values(place: tuple[str, str]) -> tuple[IndexValue, ...] | Exception:
        resource_id, locator = place
        try:
            return values_of(spec, fields, resource_id, await read(locator))
        except (DataCorrupted, ConversionError) as error:
            return error

    found: dict[tuple[str, str], tuple[IndexValue, ...] | Exception] = {}
    for start in range(0, len(places), _READ_CONCURRENCY):
        chunk = places[start : start + _READ_CONCURRENCY]
        found |= zip(chunk, await asyncio.gather(*map(values, chunk)), strict=True)
    return found


def _as_filled(progress: Progress) -> Progress:
    return Progress(progress.column, progress.total, progress.total)
