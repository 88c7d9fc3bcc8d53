"""Start: opens the storages of all models, and checks the models against the stores."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from autocrud.manager.manager import ResourceManager
from autocrud.manager.schema_check.start_check import OnSchemaChange, StartCheck, finish_in_background
from autocrud.registration.registry import SYSTEM_FOLDERS, Registry
from autocrud.registration.shared_factories import opened_factory
from autocrud.schema.model_names import fold_name
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.model_folder.location import shared_folder_error

logger = logging.getLogger(__name__)


@asynccontextmanager
async def opened(registry: Registry, reaction: OnSchemaChange) -> AsyncIterator[Sequence[ResourceManager[Any]]]:
    """Open the storages of all models for the duration of the context, and yield the managers.

    Raises:
        ConfigurationError: a storage cannot be used with its settings, or a model does not fit its data.
    """
    managers = registry.all_managers()
    async with AsyncExitStack() as stack:
        for factory in registry.factories():
            await stack.enter_async_context(opened_factory(factory))
        for manager in managers:
            stack.push_async_callback(manager.node.storage.close)
            await manager.node.storage.open()
        registry.update_reference_targets()
        for factory, specs in registry.factories().items():
            _refuse_shared_folders(specs)
            _report_unregistered(await factory.stored_models(), specs)
        checks = [StartCheck(manager.spec, manager.node.storage, reaction) for manager in managers]
        for check in checks:
            await check.run()
        if unfinished := [check for check in checks if check.is_unfinished]:
            stack.push_async_callback(_cancel, asyncio.create_task(finish_in_background(unfinished)))
        yield managers


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _refuse_shared_folders(specs: Iterable[ModelSpec[Any]]) -> None:
    """Refuse two models with the same data."""
    users: dict[str, ModelSpec[Any]] = {}
    for spec in specs:
        other = users.setdefault(spec.folder, spec)
        if other is not spec:
            raise shared_folder_error(spec, other)


def _report_unregistered(folders: Iterable[str], specs: Iterable[ModelSpec[Any]]) -> None:
    """Warn of data that no registered model has."""
    registered = {fold_name(spec.folder) for spec in specs} | SYSTEM_FOLDERS
    names = sorted(folder for folder in folders if fold_name(folder) not in registered)
    if names:
        logger.warning(
            "The store has data of models that are not registered: %s. Register them, or name a former name of a"
            " renamed model: add_model(…, formerly=[%r])",
            ", ".join(map(repr, names)),
            names[0],
        )
