"""Names of models: their form, and their comparison."""

import re
from collections.abc import Sequence
from typing import Any

from autocrud.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def name_and_label(type_name: str, name: str | None) -> tuple[str, str]:
    """Return the name of a model, and its label in OpenAPI. A name tells two models with one class name apart."""
    if name is not None:
        return name, re.sub(r"\W", "", "".join(re.split("[-_]", name.title())))
    return kebab_case(type_name).strip("_").replace("_-", "-"), re.sub(r"\W", "", type_name)


def kebab_case(class_name: str) -> str:
    """Convert a class name such as `HTTPRequestLog` to `http-request-log`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


def fold_name(name: str) -> str:
    """Return a name for comparisons. Names become tables and folders, where "-" equals "_"."""
    return name.lower().replace("-", "_")


def check_name(type_name: str, name: Any, remedy: str) -> None:
    """Refuse a name that cannot be a path segment, a folder and the start of the names of tables.

    Raises:
        ConfigurationError: the name is invalid; the message ends with the remedy.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 48:
        raise ConfigurationError(
            f"{type_name}: the name {name!r} must be at most 48 lower-case letters and digits,"
            f" in words joined by '-' or '_'; {remedy}"
        )


def check_former_names(type_name: str, name: str, formerly: Any) -> tuple[str, ...]:
    """Return the former names of a model.

    Raises:
        ConfigurationError: a former name is invalid, or is the name of the model.
    """
    if isinstance(formerly, str) or not isinstance(formerly, Sequence):
        raise ConfigurationError(f"{type_name}: formerly={formerly!r} must be a list of names, as in formerly=['post']")
    for former in formerly:
        check_name(type_name, former, "formerly= takes the names that the model had before")
        if former == name:
            raise ConfigurationError(f"{type_name}: formerly= has {former!r}, which is the name of the model itself")
    return tuple(dict.fromkeys(formerly))
