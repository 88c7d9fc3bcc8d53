"""Index backfill: fills the columns of new index fields in batches, while reads and writes go on.

Each batch is one transaction, which also stores the progress. After a crash, or in another process, the backfill
continues from the stored progress. New writes set all columns. A batch reads current data, so a batch never overwrites
newer values.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from autocrud.errors import ConfigurationError, IndexNotReady, StorageUnavailable
from autocrud.query.conditions import Query, leaves
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.engine import BackfillEngine, ConversionError, NotUnique, Progress
from autocrud.storage.ports.types import IndexProgress

logger = logging.getLogger(__name__)

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 5.0  # between two looks at the progress of another node
_REPORT_S = 0.5  # seconds between two reports of progress
_LOOK_SHARE, _LONGEST_LOOK_PAUSE_S = 4, 60.0  # the pause between two looks is so many times as long as a look took


class IndexBackfill:
    """Runs the backfills of one model, and refuses queries on unfilled fields.

    Attributes:
        rows: number of resources per batch.
        look_seconds: pause between two looks for writes of other schema versions.
    """

    rows = 500
    look_seconds = 2.0

    def __init__(self, spec: ModelSpec[Any], engine: BackfillEngine) -> None:
        self._spec = spec
        self._engine = engine
        self._pending: dict[str, Progress] = {}
        self._failed: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        # During another backfill, queries may find stale rows by old values for some seconds.
        self._filled_once: set[str] = set()
        self._refreshing = asyncio.Lock()
        self._readable_versions: set[int] = set()  # newer ones

    async def open(self) -> None:
        """Fill unique fields, then start the background task for the other fields.

        Raises:
            ConfigurationError: stored resources share unique values.
        """
        self._failed = {}
        await self._engine.begin()
        await self._refresh_progress()
        self._filled_once = {field.column for field in self._spec.index_fields} - self._pending.keys()
        try:
            await self._fill_unique()
            await self._create_indexes()
            if self._spec.unique_constraints:
                # Before the first write, so that no write takes a unique value of a resource of another version.
                await self.refresh()
        except ConversionError as error:
            raise ConfigurationError(f"{self._spec.type_name} {error}") from error
        except NotUnique as error:
            raise error.unique.duplicates_error(self._spec.type_name) from error
        self._start_task()
        self._watcher = asyncio.create_task(self._watch(), name=f"watching {self._spec.name}")

    async def resume(self) -> None:
        """Restart the backfill of stale columns in the background."""
        if self._task is None or self._task.done():
            await self._engine.restart_stale()
            await self._refresh_progress()
            self._start_task()
        await self.refresh()

    async def run(self) -> AsyncGenerator[IndexProgress, None]:
        """Fill all columns in the background. Yield the progress until the task ends."""
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
        """Stop between two batches. Idempotent."""
        for task in (self._watcher, self._task):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._watcher = self._task = None

    def check(self, query: Query) -> None:
        """Refuse a query on unfilled fields.

        Raises:
            IndexNotReady: a field of the query is not filled.
        """
        if self._pending and query.at is None:  # a start fills the table of past states
            self.require([*(leaf.field for leaf in leaves(query.where)), *(key.field for key in query.sort)])

    def require(self, fields: Iterable[Any]) -> None:
        """Refuse index fields without values. Old values are accepted.

        Raises:
            IndexNotReady: a field was never filled since the start, or its backfill failed.
        """
        for field in fields:
            if isinstance(field, IndexField) and not field.is_meta and field.column in self._pending:
                failed = field.column in self._failed
                if not failed and field.column in self._filled_once:
                    continue
                percent = self._pending[field.column].percent
                raise IndexNotReady(self._spec.name, field.name, None if failed else percent)

    async def step(self, fields: Sequence[IndexField]) -> bool:
        """Fill one batch. Return False if another node is filling the fields."""
        return await self._engine.fill(fields, self.rows)

    def _start_task(self) -> None:
        if self._unfilled_fields():
            self._task = asyncio.create_task(self._run(), name=f"filling {self._spec.name}")

    async def _run(self) -> None:
        """Fill in the background. Log errors, and continue with the other fields."""
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
        """Fill the selected fields completely. The fields stay pending until their indexes exist."""
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
        self._engine.stored_index.report()

    async def _fill_unique(self) -> None:
        """Fill the fields that must be unique; in later schema versions all fields, so that data is upgraded once.

        After a rebuild, all fields are filled.
        """
        unique = {field for constraint in self._spec.unique_constraints for field in constraint.fields}
        is_first_version = self._spec.schema.version == 1

        def select_fields() -> list[IndexField]:
            unfilled = self._unfilled_fields()
            if self._engine.is_rebuilt:
                return unfilled
            if is_first_version or unique.isdisjoint(unfilled):
                return [field for field in unfilled if field in unique]
            return unfilled

        while select_fields():
            try:
                await self._fill(select_fields)
                return
            except ConversionError as error:
                if error.field in unique:
                    raise
                self._fail(error.field.name, str(error))

    async def _watch(self) -> None:
        """Index writes of other schema versions periodically, so queries find these writes after some seconds."""
        while True:
            started_at = monotonic()
            try:
                await self.refresh()
            except StorageUnavailable as error:
                logger.warning("%s: writes of other schema versions are not indexed yet: %s", self._spec.name, error)
            except Exception:  # the task's boundary: the next look tries again
                logger.exception("%s: writes of other schema versions cannot be indexed", self._spec.name)
            pause = min(_LOOK_SHARE * (monotonic() - started_at), _LONGEST_LOOK_PAUSE_S)
            await asyncio.sleep(max(self.look_seconds, pause))

    async def index_other_versions(self) -> None:
        """Fill the columns of resources written by processes of other schema versions, if any exist."""
        # Values of newer data that had no known downgrade are null, and these rows do not count as stale.
        is_incomplete = not self._spec.upgrader.newer_versions <= self._readable_versions
        if is_incomplete or await self._engine.has_stale():
            await self.refresh()

    async def refresh(self) -> None:
        """Fill the columns of resources written by processes of other schema versions."""
        async with self._refreshing:
            is_complete = False
            while not is_complete:
                while await self._engine.refresh():
                    pass
                is_complete = not await self._learn_downgrades()
                if not is_complete:
                    self._engine.stored_index.reset()
                    await self._engine.restart_newer()
        self._engine.stored_index.report()

    async def _learn_downgrades(self) -> bool:
        """Return True if data of more newer schema versions can be read than at the last call."""
        upgrader = self._spec.upgrader
        for version in sorted(upgrader.newer_versions - upgrader.downgrades.keys()):
            if upgrader.learn is not None:
                await upgrader.learn(version)
        known_versions = set(upgrader.downgrades)
        has_more = not known_versions <= self._readable_versions
        self._readable_versions = known_versions
        return has_more

    async def _create_indexes(self) -> None:
        """Create the indexes of filled columns, and mark the columns as ready."""
        delay = _FIRST_DELAY_S
        unfilled = {progress.column for progress in await self._engine.progress()}
        while not await self._engine.index(unfilled):
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)
        ready = self._pending.keys() - unfilled
        self._filled_once |= ready
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


def _as_filled(progress: Progress) -> Progress:
    return Progress(progress.column, progress.total, progress.total)
