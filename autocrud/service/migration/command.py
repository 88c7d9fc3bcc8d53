"""Command `python -m autocrud.migrate`: migrates the models of a file or module."""

import asyncio
import signal
import sys
import traceback
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from autocrud.errors import AutoCRUDError, StorageUnavailable, Unreadable
from autocrud.manager.manager import ResourceManager
from autocrud.manager.migration import MigrationFailure, MigrationProgress
from autocrud.service.logging_setup import configure_logging
from autocrud.service.migration.options import MigrationOptions, parse_migration_options
from autocrud.service.migration.report import Report
from autocrud.service.options import prepare_process, report_failure
from autocrud.service.registry import build_registry
from autocrud.service.settings import LogLevel, Settings, SettingsError, load_settings

_DONE, _FAILED, _UNUSABLE, _STOPPED = 0, 1, 2, 130  # 130 is 128 and the number of SIGINT, as in shells
_PAGE_SIZE = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate, and return the exit status.

    Args:
        arguments: arguments of the command line; those of the process by default.
    """
    options = parse_migration_options(sys.argv[1:] if arguments is None else arguments)
    prepare_process(options.variables)
    try:
        settings = load_settings()
        if "log_level" not in settings.model_fields_set:
            settings = settings.model_copy(update={"log_level": LogLevel.warning})
        return asyncio.run(run_migration(settings, options))
    except StorageUnavailable as error:
        print(f"{error} Run the command again to go on.", file=sys.stderr)
        return _UNUSABLE
    except AutoCRUDError as error:
        return report_failure(error, options.names)
    except KeyboardInterrupt:
        return _STOPPED
    except Exception:  # boundary of the process: status 1, which Python would use, is about the data
        traceback.print_exc()
        return _UNUSABLE


async def run_migration(settings: Settings, options: MigrationOptions) -> int:
    """Migrate the models of the settings, one after the other. Return the exit status.

    Raises:
        AutoCRUDError: a setting, a model or an option is wrong, or the storage cannot be used.
    """
    configure_logging(settings)
    crud = build_registry(settings).crud
    if unknown_names := [name for name in options.models if name not in crud.model_names]:
        raise SettingsError(f"--model: there is no {unknown_names[0]!r}; models: {', '.join(crud.model_names)}.")
    status = _DONE
    async with crud.running():
        with _stop_on_signal() as stop:
            for name in options.models or crud.model_names:
                run = _list_unreadable if options.unreadable else _migrate
                if await run(crud.manager(name), options, Report(name, sys.stdout, sys.stderr), stop):
                    status = _FAILED
                if stop.is_set():
                    print("Stopped. Run the command again to go on.", file=sys.stderr)
                    return _STOPPED
    return status


async def _migrate(
    manager: ResourceManager[Any], options: MigrationOptions, report: Report, stop: asyncio.Event
) -> int:
    """Migrate one model. Return the number of failures."""
    progresses = manager.migrate(
        dry_run=options.dry_run, index_only=options.index_only, by=options.by, batch=options.batch
    )
    progress = MigrationProgress(0, 0)
    async with aclosing(progresses):
        async for progress in progresses:
            for failure in progress.failures:
                report.add_failure(failure)
            report.show_progress(progress)
            if stop.is_set():
                break
    report.show_result(_result(progress, options), progress.failed, "failed")
    return progress.failed


def _result(progress: MigrationProgress, options: MigrationOptions) -> str:
    if options.index_only:
        return f"read {progress.done:,} of {progress.total:,} for the index columns"
    if options.dry_run:
        return f"{progress.changed:,} of {progress.total:,} can be upgraded"
    skipped = f", skipped {progress.skipped:,}" if progress.skipped else ""
    return f"migrated {progress.changed:,} of {progress.total:,}{skipped}"


async def _list_unreadable(
    manager: ResourceManager[Any], options: MigrationOptions, report: Report, stop: asyncio.Event
) -> int:
    """List the resources of one model whose data cannot be read. Return their number."""
    failed = 0
    async with aclosing(_unreadable(manager)) as failures:
        async for failure in failures:
            failed += 1
            report.add_failure(failure)
            if stop.is_set():
                break
    report.show_result("read all resources" if not stop.is_set() else "read some resources", failed, "unreadable")
    return failed


async def _unreadable(manager: ResourceManager[Any]) -> AsyncGenerator[MigrationFailure, None]:
    cursor: str | None = None
    while True:
        page = await manager.search(unreadable=True, include_deleted=True, limit=_PAGE_SIZE, cursor=cursor)
        for resource in page.items:
            error, revision_id = resource.head.fault, resource.revision_info.revision_id
            if isinstance(error, Unreadable):
                yield MigrationFailure(resource.resource_id, revision_id, error.step, error.field, error.reason)
            else:
                yield MigrationFailure(resource.resource_id, revision_id, "", None, str(error))
        cursor = page.next_cursor
        if cursor is None:
            return


@contextmanager
def _stop_on_signal() -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets. A second signal ends the process at once."""
    stop, loop, signals = asyncio.Event(), asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

    def restore() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    def request_stop() -> None:
        restore()
        stop.set()

    for number in signals:
        loop.add_signal_handler(number, request_stop)
    try:
        yield stop
    finally:
        restore()
