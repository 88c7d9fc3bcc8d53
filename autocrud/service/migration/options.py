"""Options of the command `python -m autocrud.migrate`."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autocrud.manager.migration import BATCH
from autocrud.service.options import EPILOG, MODELS_HELP, add_storage_options, variables_of

_DESCRIPTION = (
    "Rewrite the resources of older schema versions to the version of their model, each as a new revision. The"
    " service may run meanwhile. Exit status: 0, or 1 if a resource cannot be upgraded, 2 if the command cannot run,"
    " 130 if it was stopped."
)


@dataclass(frozen=True)
class MigrationOptions:
    """The options of one command.

    Attributes:
        variables: environment variables that the options stand for.
        names: name of the option of each variable, for messages.
        models: names of the models to migrate; empty for all models.
        unreadable: only list the resources whose data cannot be read.
    """

    variables: Mapping[str, str]
    names: Mapping[str, str]
    models: Sequence[str]
    dry_run: bool
    index_only: bool
    unreadable: bool
    by: str | None
    batch: int


def parse_migration_options(arguments: Sequence[str]) -> MigrationOptions:
    """Return the options.

    Raises:
        SystemExit: an argument is wrong, or is `--help`.
    """
    parser = argparse.ArgumentParser("python -m autocrud.migrate", description=_DESCRIPTION, epilog=EPILOG)
    parser.add_argument("models", metavar="MODULE", nargs="?", help=MODELS_HELP)
    parser.add_argument("--model", metavar="NAME", action="append", default=[], help="migrate only this model")
    parser.add_argument("--batch", metavar="N", type=int, default=BATCH, help=f"resources per commit ({BATCH})")
    parser.add_argument("--by", metavar="USER", help="author of the new revisions")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="run the steps on all resources, and write nothing")
    mode.add_argument("--index-only", action="store_true", help="write no revisions; only fill the index columns")
    mode.add_argument("--unreadable", action="store_true", help="only list the resources that cannot be read")
    add_storage_options(parser)
    values = parser.parse_args(arguments)
    variables, names = variables_of(vars(values))
    return MigrationOptions(
        variables=variables,
        names={**names, "batch": "--batch"},
        models=values.model,
        dry_run=values.dry_run,
        index_only=values.index_only,
        unreadable=values.unreadable,
        by=values.by,
        batch=values.batch,
    )
