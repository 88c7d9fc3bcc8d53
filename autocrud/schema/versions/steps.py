"""Steps: pure changes of a document in the stored form, from one schema version to another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

Document = dict[str, Any]
Function = Callable[[Document], Document]
Path = str | Sequence[str]

# Functions that a downgrade may name, because each process has them.
_NAMED_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"str": str, "int": int, "float": float, "bool": bool}


class StepError(Exception):
    """A step cannot change a document. `field` is the path of the field, or None."""

    def __init__(self, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class ReadyStep(ABC):
    """A ready-made step."""

    @abstractmethod
    def __call__(self, document: Document) -> Document:
        """Return the changed document. The argument may be changed in place.

        Raises:
            StepError: the document does not have the expected form.
        """

    def __str__(self) -> str:
        paths = [value for value in vars(self).values() if isinstance(value, tuple)]
        return f"{type(self).__name__.lower()} {', '.join(map(_text, paths))}"

    @abstractmethod
    def to_json(self) -> Any:
        """Return the step as JSON, from which `read_step` makes it again. None if the step runs a user's function."""


@dataclass(frozen=True)
class Rename(ReadyStep):
    """Give a field another name. See `autocrud.migrations.rename`."""

    path: tuple[str, ...]
    name: str

    def __call__(self, document: Document) -> Document:
        for parent, field in _parents(document, self.path):
            if field not in parent:
                continue
            if self.name in parent:
                raise StepError(_text((*self.path[:-1], self.name)), f"exists already, so {_text(self.path)} stays")
            # In place of the old name, so that the order of the fields stays.
            items = [(self.name if key == field else key, value) for key, value in parent.items()]
            parent.clear()
            parent.update(items)
        return document

    def to_json(self) -> Any:
        return ["rename", list(self.path), self.name]


@dataclass(frozen=True)
class Remove(ReadyStep):
    """Remove a field. See `autocrud.migrations.remove`."""

    path: tuple[str, ...]

    def __call__(self, document: Document) -> Document:
        for parent, field in _parents(document, self.path):
            parent.pop(field, None)
        return document

    def to_json(self) -> Any:
        return ["remove", list(self.path)]


@dataclass(frozen=True)
class Fill(ReadyStep):
    """Set a field that is missing. See `autocrud.migrations.fill`."""

    path: tuple[str, ...]
    value: Any
    nulls: bool

    def __call__(self, document: Document) -> Document:
        for parent, field in _parents(document, self.path):
            if field not in parent or (self.nulls and parent[field] is None):
                parent[field] = self.value(document) if callable(self.value) else deepcopy(self.value)
        return document

    def to_json(self) -> Any:
        return None if callable(self.value) else ["fill", list(self.path), self.value, self.nulls]


@dataclass(frozen=True)
class Convert(ReadyStep):
    """Convert the value of a field. See `autocrud.migrations.convert`."""

    path: tuple[str, ...]
    function: Callable[[Any], Any]
    nulls: bool

    def __call__(self, document: Document) -> Document:
        for parent, field in _parents(document, self.path):
            if field in parent and (self.nulls or parent[field] is not None):
                parent[field] = _call(self.path, self.function, parent[field])
        return document

    def to_json(self) -> Any:
        name = next((name for name, function in _NAMED_FUNCTIONS.items() if function is self.function), None)
        return None if name is None else ["convert", list(self.path), name, self.nulls]


@dataclass(frozen=True)
class Move(ReadyStep):
    """Move a field to another place. See `autocrud.migrations.move`."""

    source: tuple[str, ...]
    target: tuple[str, ...]

    def __call__(self, document: Document) -> Document:
        parent = _only_parent(document, self.source, create=False)
        if parent is None or self.source[-1] not in parent:
            return document
        value = parent.pop(self.source[-1])
        new_parent = _only_parent(document, self.target, create=True)
        if new_parent is None or self.target[-1] in new_parent:
            raise StepError(_text(self.target), f"exists already, so {_text(self.source)} stays")
        new_parent[self.target[-1]] = value
        return document

    def to_json(self) -> Any:
        return ["move", list(self.source), list(self.target)]


@dataclass(frozen=True)
class Split(ReadyStep):
    """Make several fields of one. See `autocrud.migrations.split`."""

    path: tuple[str, ...]
    names: tuple[str, ...]
    function: Callable[[Any], Sequence[Any]]

    def __call__(self, document: Document) -> Document:
        for parent, field in _parents(document, self.path):
            if field not in parent:
                continue
            parts = _call(self.path, self.function, parent.pop(field))
            if isinstance(parts, str | Mapping) or not isinstance(parts, Sequence) or len(parts) != len(self.names):
                raise StepError(_text(self.path), f"must be split into {len(self.names)} values")
            _set_new(parent, self.path[:-1], dict(zip(self.names, parts, strict=True)))
        return document

    def to_json(self) -> Any:
        return None


@dataclass(frozen=True)
class Merge(ReadyStep):
    """Make one field of several. See `autocrud.migrations.merge`."""

    names: tuple[str, ...]
    path: tuple[str, ...]
    function: Callable[..., Any]

    def __call__(self, document: Document) -> Document:
        for parent, field in _parents(document, self.path):
            if parent.keys().isdisjoint(self.names):
                continue
            values = [parent.pop(name, None) for name in self.names]
            _set_new(parent, self.path[:-1], {field: _call(self.path, self.function, *values)})
        return document

    def to_json(self) -> Any:
        return None


_KINDS: dict[str, Callable[..., ReadyStep]] = {
    "rename": lambda path, name: Rename(_read_path(path), *_read_path([name])),
    "remove": lambda path: Remove(_read_path(path)),
    "fill": lambda path, value, nulls: Fill(_read_path(path), value, nulls),
    "convert": lambda path, name, nulls: Convert(_read_path(path), _NAMED_FUNCTIONS[name], nulls),
    "move": lambda source, target: Move(_read_path(source), _read_path(target)),
}


def read_step(content: Any) -> ReadyStep:
    """Return the step that `ReadyStep.to_json` has written.

    Raises:
        ValueError: this version of the library does not know the step.
    """
    try:
        name, *arguments = content
        return _KINDS[name](*arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"unknown step: {content!r}") from error


def _read_path(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{names!r} is not a list of names")
    return tuple(names)


def parse_path(path: Path) -> tuple[str, ...]:
    """Return a path as the names that lead to a field.

    Args:
        path: names joined by dots, or a sequence of names, for names that have dots.

    Raises:
        ValueError: the path is empty, or a name is.
    """
    names = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
    if not names or not all(names):
        raise ValueError(f"{path!r} is not the path of a field")
    return names


def as_json(value: Any) -> Any:
    """Return a value as JSON values, as Pydantic writes them.

    Raises:
        PydanticSerializationError: JSON cannot represent the value.
    """
    return to_jsonable_python(value)


def error_text(error: BaseException) -> str:
    """Return the class and the text of an error that a user's function raised."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # the text of a user's class may fail, too
        return type(error).__name__


def _parents(document: Any, path: Sequence[str]) -> Iterator[tuple[Document, str]]:
    """Yield each object that may hold the last name of a path. Lists on the way stand for all of their items."""
    if isinstance(document, list):
        for item in document:
            yield from _parents(item, path)
    elif isinstance(document, dict):
        if len(path) == 1:
            yield document, path[0]
        elif path[0] in document:
            yield from _parents(document[path[0]], path[1:])


def _only_parent(document: Document, path: tuple[str, ...], *, create: bool) -> Document | None:
    """Return the object that holds the last name of a path; None if it is missing and not to be created."""
    for place, name in enumerate(path[:-1], 1):
        if document.get(name) is None:
            if not create:
                return None
            document[name] = {}
        document = document[name]
        if not isinstance(document, dict):
            raise StepError(_text(path[:place]), "is not an object, so that nothing can be moved from it or into it")
    return document


def _set_new(parent: Document, place: tuple[str, ...], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in parent:
            raise StepError(_text((*place, name)), "exists already")
        parent[name] = value


def _call(path: tuple[str, ...], function: Callable[..., Any], *values: Any) -> Any:
    try:
        return function(*values)
    except Exception as error:  # a user's function; the error names the field
        raise StepError(_text(path), error_text(error)) from error


def _text(path: Sequence[str]) -> str:
    return ".".join(path)
