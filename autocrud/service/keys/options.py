"""Options of the command `autocrud keys`."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autocrud.access import Scope
from autocrud.service.options import EPILOG, add_storage_options, variables_of

DESCRIPTION = (
    "Create, list and revoke API keys in the storage of the service. A service with AUTOCRUD_AUTH=keys takes them, and"
    " may run meanwhile. Exit status: 0, or 2 if the command cannot run."
)


@dataclass(frozen=True)
class KeyOptions:
    """The options of one command.

    Attributes:
        variables: environment variables that the options stand for.
        names: name of the option of each variable, for messages.
        action: `create`, `list` or `revoke`.
        subject: name of the principal of a new key, or id of the key to revoke.
        days: days until a new key expires; None for never.
        by: author of the change.
    """

    variables: Mapping[str, str]
    names: Mapping[str, str]
    action: str
    subject: str
    scopes: Sequence[Scope]
    roles: Sequence[str]
    tenant: str | None
    days: int | None
    by: str | None


def parse_key_options(arguments: Sequence[str]) -> KeyOptions:
    """Return the options.

    Raises:
        SystemExit: an argument is wrong, or is `--help`.
    """
    parser = argparse.ArgumentParser("autocrud keys", description=DESCRIPTION, epilog=EPILOG)
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="create|list|revoke")
    create = actions.add_parser("create", help="create a key, and print it once")
    create.add_argument("subject", metavar="NAME", help="id of the principal, for created_by and updated_by")
    create.add_argument("--scope", action="append", type=Scope, choices=list(Scope), help="right of the key (both)")
    create.add_argument("--role", action="append", default=[], help="role of the principal; may be repeated")
    create.add_argument("--tenant", help="tenant of the principal")
    create.add_argument("--days", type=_days, help="days until the key expires (never)")
    listing = actions.add_parser("list", help="list the keys, newest first, without their secrets")
    revoke = actions.add_parser("revoke", help="revoke a key at once, on all nodes")
    revoke.add_argument("subject", metavar="ID", help="id of the key, which stands in the key and in the list")
    for action in (create, revoke):
        action.add_argument("--by", metavar="USER", help="author of the change")
    for action in (create, listing, revoke):
        add_storage_options(action)
    values = vars(parser.parse_args(arguments))
    variables, names = variables_of(values)
    return KeyOptions(
        variables=variables,
        names=names,
        action=values["action"],
        subject=values.get("subject", ""),
        scopes=values.get("scope") or list(Scope),
        roles=values.get("role", []),
        tenant=values.get("tenant"),
        days=values.get("days"),
        by=values.get("by"),
    )


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 36500:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 36500, not {text!r}")
    return int(text)
