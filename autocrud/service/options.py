"""Options of the command line. An option is a setting, and wins over the environment."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocrud.errors import AutoCRUDError
from autocrud.service.model_loader import is_path
from autocrud.service.settings import PREFIX, StorageKind, describe_error

MODELS_HELP = "file or module with the models, such as models.py, shop.models or shop.main:crud"
EPILOG = "All other settings are environment variables or lines of a file .env: see docs/settings.md."


@dataclass(frozen=True)
class Options:
    """The options of one command.

    Attributes:
        variables: environment variables that the options stand for.
        names: name of the option of each variable, for messages.
        reload: start again if a file changes.
    """

    variables: Mapping[str, str]
    names: Mapping[str, str]
    reload: bool


def parse_options(arguments: Sequence[str]) -> Options:
    """Return the options. Without arguments, the service has the settings of the environment.

    Raises:
        SystemExit: an argument is wrong, or is `--help`.
    """
    values = vars(_parser().parse_args(arguments))
    variables, names = variables_of(values)
    return Options(variables, names, bool(values.get("reload")))


def variables_of(values: Mapping[str, Any]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the environment variables that parsed options stand for, and the name of the option of each variable."""
    variables, names = dict[str, str](), dict[str, str]()
    for name in ("models", "host", "port", "storage", "data_dir", "workers"):
        if values.get(name) is not None:
            variable = f"{PREFIX}{name.upper()}"
            variables[variable] = _absolute(values[name]) if name == "models" else values[name]
            names[variable] = "models" if name == "models" else f"--{name.replace('_', '-')}"
    return variables, names


def add_storage_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the storage to a command."""
    parser.add_argument("--storage", metavar="KIND", help=f"{', '.join(StorageKind)} (disk)")
    parser.add_argument("--data-dir", metavar="DIR", help="directory of the data on disk (data)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "autocrud", description="Serve Pydantic models as a REST API over versioned resources.", epilog=EPILOG
    )
    commands = parser.add_subparsers(title="commands", metavar="serve|keys")
    serve = commands.add_parser(
        "serve", help="serve the models of a file or module", description="Serve models.", epilog=EPILOG
    )
    serve.add_argument("models", nargs="?", help=MODELS_HELP)
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", help="port to listen on (8000)")
    add_storage_options(serve)
    serve.add_argument("--workers", help="number of processes (1)")
    serve.add_argument("--reload", action="store_true", help="start again if a file changes; for development")
    # `autocrud.service.keys.options` has the arguments.
    commands.add_parser("keys", help="create, list or revoke API keys", add_help=False)
    return parser


def _absolute(source: str) -> str:
    """Return the absolute path of a file; the name of a module does not change."""
    return str(Path(source).expanduser().absolute()) if is_path(source) else source


def prepare_process(variables: Mapping[str, str]) -> None:
    """Set environment variables, and make the modules of the working directory importable."""
    # Workers and reloaded processes inherit the environment.
    os.environ.update(variables)
    folder = str(Path.cwd())
    if folder not in sys.path:  # a console script does not search the working directory
        sys.path.insert(0, folder)


def report_failure(error: AutoCRUDError, names: Mapping[str, str]) -> int:
    """Print the error with the option or setting at fault, and return the exit status.

    Args:
        names: name of the option of each environment variable that an option stands for.
    """
    message = describe_error(error)
    variable, separator, reason = message.partition(": ")
    print(f"{names.get(variable, variable)}{separator}{reason}", file=sys.stderr)
    return 2
