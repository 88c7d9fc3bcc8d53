"""Command `autocrud`: serve the models of a file or module, or manage API keys (`autocrud keys`)."""

import asyncio
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from autocrud.errors import AutoCRUDError
from autocrud.service.announcement import startup_lines
from autocrud.service.connections.http_protocol import BoundedHttpProtocol
from autocrud.service.keys import command as keys_command
from autocrud.service.logging_setup import logging_config, without_warnings
from autocrud.service.main import create_app
from autocrud.service.model_loader import is_path
from autocrud.service.options import Options, parse_options, prepare_process, report_failure
from autocrud.service.settings import PREFIX, Settings, SettingsError, load_settings

logger = logging.getLogger(__name__)

# Loggers of warnings that each start says again.
_START_LOGGERS = ("autocrud.registration.start", "autocrud.manager.schema_check.start_check")


def main(arguments: Sequence[str] | None = None) -> None:
    """Check that the service can start, then serve until a signal stops it. Exit with status 2 if it cannot start.

    Args:
        arguments: arguments of the command line; those of the process by default.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["keys"]:
        sys.exit(keys_command.main(arguments[1:]))
    options = parse_options(arguments)
    prepare_process(options.variables)
    try:
        settings = load_settings()
        _check_reload(options, settings)
        lines = asyncio.run(_preflight(settings))
        _check_port(settings)
    except AutoCRUDError as error:
        sys.exit(report_failure(error, options.names))
    for line in lines:
        logger.info(line)
    uvicorn.run(
        "autocrud.service.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        reload=options.reload,
        reload_dirs=[_folder_of(settings.models)] if options.reload else None,
        access_log=False,
        http=BoundedHttpProtocol,
        log_config=logging_config(settings),
        # Without trusted proxies a client could choose its address by a header.
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


async def _preflight(settings: Settings) -> Sequence[str]:
    """Open and close all storages once, because uvicorn would restart a worker that cannot start for ever.

    Returns:
        The lines to log at the start.
    """
    app = create_app(settings)
    with without_warnings(*_START_LOGGERS):  # the start of the server says them
        async with app.state.crud.running():
            own_storage = settings.models if app.state.models.has_storage else None
            lines = startup_lines(settings, app.state.crud.model_names, own_storage)
    without_routes = "; ".join(app.state.models.without_routes)
    hint = f"No routes: {without_routes}. A function register(crud) in the models' file can add them."
    return (hint, *lines) if without_routes else lines


def _check_reload(options: Options, settings: Settings) -> None:
    if options.reload and settings.workers > 1:
        raise SettingsError(f"{PREFIX}WORKERS: must be 1 with --reload.")


def _check_port(settings: Settings) -> None:
    """Refuse an address that uvicorn could not listen on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            address = f"{settings.host}, port {settings.port}"
            raise SettingsError(f"{PREFIX}PORT: cannot listen on {address}: {error.strerror}.") from error


def _folder_of(models: str) -> str:
    return str(Path(models).expanduser().parent) if is_path(models) else str(Path.cwd())


if __name__ == "__main__":
    main()
