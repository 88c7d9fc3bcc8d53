"""Checks of the arguments of `AutoCRUD.apply`."""

import re
from collections.abc import Iterable

from fastapi import FastAPI

from autocrud.errors import ConfigurationError
from autocrud.schema.model_names import fold_name

TRANSACTION = "transaction"  # path segment of the route of transactions
_PREFIX = re.compile(r"(/[^\s/{}?#]+)*")


def check_application(app: object) -> None:
    """Refuse an object that is no FastAPI application.

    Raises:
        ConfigurationError: the object is no application.
    """
    if isinstance(app, FastAPI):
        return
    kind = app.__name__ if isinstance(app, type) else type(app).__name__
    raise ConfigurationError(
        f"apply takes a FastAPI application, not {kind}; instead of a router, use apply(app, prefix=…)", argument="app"
    )


def check_model_names(names: Iterable[str]) -> None:
    """Refuse a model whose path is the path of transactions.

    Raises:
        ConfigurationError: a model has the name `transaction`.
    """
    for name in names:
        if fold_name(name) == TRANSACTION:
            raise ConfigurationError(
                f"the model name {name!r} is the path of POST /{TRANSACTION}; give add_model another name=",
                argument="name",
            )


def check_prefix(prefix: object) -> None:
    """Refuse a prefix that cannot begin the path of a route.

    Raises:
        ConfigurationError: the prefix is no text, does not begin with a slash, ends with one, or has a path parameter
            or a segment of dots.
    """
    if not isinstance(prefix, str):
        raise ConfigurationError(f"the prefix {prefix!r} must be a text such as '/v1'", argument="prefix")
    has_dots = not {".", ".."}.isdisjoint(prefix.split("/"))
    if _PREFIX.fullmatch(prefix) and not has_dots:
        return
    if has_dots:
        reason = "must not have a segment of dots, because clients remove such segments"
    elif "{" in prefix or "}" in prefix:
        reason = "must not have path parameters, because a model has one collection of resources"
    elif not prefix.startswith("/"):
        reason = "must begin with a slash"
    elif prefix.endswith("/"):
        reason = "must not end with a slash"
    else:
        reason = "must be a path such as /v1"
    raise ConfigurationError(f"the prefix {prefix!r} {reason}", argument="prefix")
