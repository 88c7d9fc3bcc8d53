"""Command `python -m app`: serve with the settings of the environment."""

import asyncio
import sys

import uvicorn

from autocrud.errors import AutoCRUDError, ConfigurationError
from autocrud.service.logging_setup import logging_config
from autocrud.service.main import create_app
from autocrud.service.settings import SETTING_OF, Settings, load_settings


def main() -> None:
    """Check that the service can start, then serve until a signal stops it. Exit with status 2 if it cannot start."""
    try:
        settings = load_settings()
        asyncio.run(_preflight(settings))
    except AutoCRUDError as error:
        sys.exit(_report_failure(error))
    uvicorn.run(
        "autocrud.service.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_config=logging_config(settings),
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


async def _preflight(settings: Settings) -> None:
    """Open and close all storages once, because uvicorn would restart a worker that cannot start for ever."""
    app = create_app(settings)
    async with app.state.crud.running():
        pass


def _report_failure(error: AutoCRUDError) -> int:
    """Print the error with the setting at fault, and return the exit status."""
    setting = SETTING_OF.get(error.argument or "") if isinstance(error, ConfigurationError) else None
    print(f"{setting}: {error}" if setting else error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
