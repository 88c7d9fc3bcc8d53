"""Brings the SQLite file of a store in line with its models, as they are now, before the models are used."""

import asyncio
from functools import partial
from typing import Any

from autocrud.errors import ConfigurationError
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.erasure import Eraser
from autocrud.storage.metadata.sqlite.engine.facts_fill import FactsFill
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.index_migration import match_columns
from autocrud.storage.metadata.sqlite.point_in_time_backfill import fill_states
from autocrud.storage.metadata.sqlite.schema import create_tables
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.model_folder.location import folder_of, shared_folder_error
from autocrud.storage.ports.objects import ObjectStore


class ModelAttachment:
    """Attaches models to a store.

    The first model that opens replays the log. All models that were announced before get their index columns first, so
    that one pass over the log fills the columns of all of them.
    """

    def __init__(
        self, file: StoreFile, commits: CommitPath, eraser: Eraser, objects: ObjectStore, models: Models
    ) -> None:
        self._file = file
        self._commits = commits
        self._eraser = eraser
        self._objects = objects
        self._models = models
        self._announced: dict[str, ModelSpec[Any]] = {}
        self._fills: dict[str, FactsFill] = {}
        self._open_counts: dict[str, int] = {}
        self._attaching = asyncio.Lock()
        self._has_replayed = False

    def announce(self, spec: ModelSpec[Any]) -> None:
        """Note a model that is going to be opened."""
        self._announced[spec.name] = spec

    async def attach(self, spec: ModelSpec[Any]) -> SqliteTables:
        """Create and fill what the model needs before its first read and write. Return its tables.

        Raises:
            ConfigurationError: another model is open in the same folder, or live resources share unique values.
        """
        async with self._attaching:
            if not self._has_replayed:
                await self._prepare_announced()
            folder = spec.folder
            tables = self._models.attached.get(folder)
            if tables is None or tables.spec is not spec:
                if self._open_counts.get(folder) and tables is not None and tables.spec.name != spec.name:
                    raise shared_folder_error(spec, tables.spec)
                if self._open_counts.get(folder):
                    raise ConfigurationError(f"{spec.type_name}: another model is open as {folder!r} in this store")
                tables = await self._prepare(spec, folder)
            async with self._file.lock:
                await self._commits.catch_up(announce=not self._has_replayed)
                await self._eraser.erase()
            self._has_replayed = True
            if folder not in self._fills:
                self._fills[folder] = FactsFill(spec, tables, self._file, self._commits.log.read)
            await self._fills[folder].fill(only_claims=True, strict=True)
            self._open_counts[folder] = self._open_counts.get(folder, 0) + 1
            return tables

    def detach(self, spec: ModelSpec[Any]) -> None:
        """Note that a model was closed. Its index columns are still written."""
        self._open_counts[spec.folder] -= 1

    def was_replayed(self, folder: str) -> bool:
        """Return True, once, if writes of a model were applied without index columns since the file was opened."""
        if folder in self._models.replayed:
            self._models.replayed.discard(folder)
            return True
        return False

    async def fill_references(self) -> None:
        """Fill the references whose targets became known, before a commit is judged by them."""
        for fill in list(self._fills.values()):
            if fill.lacks_references:
                await fill.fill()

    async def fill_facts(self, folder: str) -> None:
        """Fill claims and references that a process wrote past which did not know them."""
        await self._fills[folder].fill()

    def clear(self) -> None:
        """Forget what is attached, because another file may be opened."""
        self._models.clear()
        self._fills.clear()
        self._open_counts.clear()
        self._has_replayed = False

    async def _prepare_announced(self) -> None:
        specs = list(self._announced.values())
        folders = await asyncio.gather(*(folder_of(self._objects, spec.name) for spec in specs))
        for spec, folder in zip(specs, folders, strict=True):
            await self._prepare(spec, folder)

    async def _prepare(self, spec: ModelSpec[Any], folder: str) -> SqliteTables:
        """Create the tables and columns of a model, and let writes fill them from now on."""
        tables = SqliteTables(spec, self._models.inline_limit, folder)
        await self._file.write(partial(create_tables, tables))
        await self._file.write(partial(match_columns, spec, tables))
        await self._file.write(tables.index_states.note_claims)
        await fill_states(self._file, spec, tables, StoredIndex(spec), self._commits.log.read)
        self._fills.pop(folder, None)
        return self._models.add(tables)
