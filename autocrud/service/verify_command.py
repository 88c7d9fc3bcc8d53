"""Command `python -m autocrud.verify`: lists the dangling references of the models of a file or module."""

import argparse
import asyncio
import sys
import traceback
from collections.abc import Sequence
from contextlib import aclosing

from autocrud.errors import AutoCRUDError
from autocrud.service.cli import prepare_process, report_failure
from autocrud.service.logging_setup import configure_logging
from autocrud.service.options import EPILOG, MODELS_HELP, add_storage_options, variables_of
from autocrud.service.registry import build_registry
from autocrud.service.settings import LogLevel, Settings, load_settings

_DESCRIPTION = (
    "List references whose target is missing or deleted, one line each: model, id, field, model and id of the target."
    " They can arise between models in different stores. The service may run meanwhile. Exit status: 0, or 1 if there"
    " are any, 2 if the command cannot run, 130 if it was stopped."
)
_NONE, _FOUND, _UNUSABLE, _STOPPED = 0, 1, 2, 130  # 130 is 128 and the number of SIGINT, as in shells


def main(arguments: Sequence[str] | None = None) -> int:
    """List the dangling references, and return the exit status.

    Args:
        arguments: arguments of the command line; those of the process by default.
    """
    parser = argparse.ArgumentParser("python -m autocrud.verify", description=_DESCRIPTION, epilog=EPILOG)
    parser.add_argument("models", metavar="MODULE", nargs="?", help=MODELS_HELP)
    add_storage_options(parser)
    values = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    variables, names = variables_of(vars(values))
    prepare_process(variables)
    try:
        settings = load_settings()
        if "log_level" not in settings.model_fields_set:
            settings = settings.model_copy(update={"log_level": LogLevel.warning})
        return asyncio.run(run_verification(settings))
    except AutoCRUDError as error:
        report_failure(error, names)
        return _UNUSABLE
    except KeyboardInterrupt:
        return _STOPPED
    except Exception:  # boundary of the process: status 1, which Python would use, is about the data
        traceback.print_exc()
        return _UNUSABLE


async def run_verification(settings: Settings) -> int:
    """List the dangling references of the models of the settings. Return the exit status.

    Raises:
        AutoCRUDError: a setting or a model is wrong, or the storage cannot be used.
    """
    configure_logging(settings)
    crud = build_registry(settings).crud
    number = 0
    async with crud.running(), aclosing(crud.verify()) as dangling:
        async for item in dangling:
            number += 1
            print(item.model, item.resource_id, item.field, item.target_model, item.target_id, sep="\t", flush=True)
    print(f"dangling references: {number:,}", file=sys.stderr)
    return _FOUND if number else _NONE
