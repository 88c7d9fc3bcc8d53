"""Ready-made steps for `Schema.step`. Each changes a document in the stored form, which has the names of the fields.

A path is a name, names joined by dots, as in `address.city`, or a sequence of names. A list on the way stands for all
of its items. A step has no effect on a document that lacks its field.
"""

from collections.abc import Callable, Sequence
from typing import Any

from autocrud.errors import ConfigurationError
from autocrud.schema.versions import steps

__all__ = ["convert", "fill", "merge", "move", "remove", "rename", "split"]


def rename(path: steps.Path, name: str) -> steps.ReadyStep:
    """Return a step that gives a field another name, in the same object.

    Raises:
        ConfigurationError: the path or the name is empty.
    """
    return steps.Rename(_path("rename", path), _name("rename", name))


def remove(path: steps.Path) -> steps.ReadyStep:
    """Return a step that removes a field. Older revisions keep it.

    Raises:
        ConfigurationError: the path is empty.
    """
    return steps.Remove(_path("remove", path))


def fill(path: steps.Path, value: Any, *, nulls: bool = False) -> steps.ReadyStep:
    """Return a step that sets a field that is missing.

    Args:
        value: a JSON value, or a function of the document that returns one.
        nulls: also replace null.

    Raises:
        ConfigurationError: the path is empty, or the value cannot be JSON.
    """
    names = _path("fill", path)
    try:
        return steps.Fill(names, value if callable(value) else steps.as_json(value), nulls)
    except ValueError as error:
        raise ConfigurationError(f"fill({path!r}): the value cannot be JSON: {error}") from error


def convert(path: steps.Path, function: Callable[[Any], Any], *, nulls: bool = False) -> steps.ReadyStep:
    """Return a step that replaces the value of a field by the result of a function.

    Args:
        nulls: also call the function with null, which stays null otherwise.

    Raises:
        ConfigurationError: the path is empty, or `function` is none.
    """
    return steps.Convert(_path("convert", path), _function("convert", function), nulls)


def move(source: steps.Path, target: steps.Path) -> steps.ReadyStep:
    """Return a step that moves a field to another object. Missing objects are created.

    Raises:
        ConfigurationError: a path is empty, or one begins with the other.
    """
    names, new_names = _path("move", source), _path("move", target)
    if new_names[: len(names)] == names or names[: len(new_names)] == new_names:
        raise ConfigurationError(f"move({source!r}, {target!r}): no path may begin with the other path")
    return steps.Move(names, new_names)


def split(path: steps.Path, names: Sequence[str], function: Callable[[Any], Sequence[Any]]) -> steps.ReadyStep:
    """Return a step that replaces a field by several fields of the same object.

    Args:
        function: returns the values of the new fields, in the order of `names`.

    Raises:
        ConfigurationError: a name is empty, or `function` is none.
    """
    return steps.Split(_path("split", path), _names("split", names), _function("split", function))


def merge(names: Sequence[str], path: steps.Path, function: Callable[..., Any]) -> steps.ReadyStep:
    """Return a step that replaces several fields of one object by one field.

    Args:
        names: fields of the object that the new field is in.
        function: returns the new value; takes the old values in the order of `names`, and None for a missing field.

    Raises:
        ConfigurationError: a name is empty, or `function` is none.
    """
    return steps.Merge(_names("merge", names), _path("merge", path), _function("merge", function))


def _path(step: str, path: steps.Path) -> tuple[str, ...]:
    try:
        return steps.parse_path(path)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{step}: {path!r} is not the path of a field") from error


def _name(step: str, name: Any) -> str:
    if isinstance(name, str) and name:
        return name
    raise ConfigurationError(f"{step}: {name!r} is not the name of a field")


def _names(step: str, names: Sequence[str]) -> tuple[str, ...]:
    found = tuple(_name(step, name) for name in ([] if isinstance(names, str) else names))
    if not found or len(set(found)) != len(found):
        raise ConfigurationError(f"{step}: {names!r} must be a list of different names of fields")
    return found


def _function(step: str, function: Any) -> Any:
    if not callable(function):
        raise ConfigurationError(f"{step}: {function!r} is not a function")
    return function
