"""Options of the command line. An option is a setting, and wins over the environment."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autocrud.service.model_loader import is_path
from autocrud.service.settings import PREFIX, StorageKind

_EPILOG = "All other settings are environment variables or lines of a file .env: see docs/settings.md."


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
    parser = _parser()
    values = vars(parser.parse_args(arguments))
    variables, names = dict[str, str](), dict[str, str]()
    for name in ("models", "host", "port", "storage", "data_dir", "workers"):
        if values.get(name) is not None:
            variable = f"{PREFIX}{name.upper()}"
            variables[variable] = _absolute(values[name]) if name == "models" else values[name]
            names[variable] = "models" if name == "models" else f"--{name.replace('_', '-')}"
    return Options(variables, names, bool(values.get("reload")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "autocrud", description="Serve Pydantic models as a REST API over versioned resources.", epilog=_EPILOG
    )
    commands = parser.add_subparsers(title="commands", metavar="serve")
    serve = commands.add_parser(
        "serve", help="serve the models of a file or module", description="Serve models.", epilog=_EPILOG
    )
    serve.add_argument("models", nargs="?", help="file or module with the models, such as models.py or shop.models")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", help="port to listen on (8000)")
    serve.add_argument("--storage", metavar="KIND", help=f"{', '.join(StorageKind)} (disk)")
    serve.add_argument("--data-dir", metavar="DIR", help="directory of the data on disk (data)")
    serve.add_argument("--workers", help="number of processes (1)")
    serve.add_argument("--reload", action="store_true", help="start again if a file changes; for development")
    return parser


def _absolute(source: str) -> str:
    """Return the absolute path of a file; the name of a module does not change."""
    return str(Path(source).expanduser().absolute()) if is_path(source) else source
