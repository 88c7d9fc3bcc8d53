"""Which fields of a model are index fields: markers and names, followed through records, lists and unions.

A record is a Pydantic model, a dataclass or a TypedDict. A path's names are those of the JSON, joined by dots.
"""

import dataclasses
import operator
import types
from collections import deque
from collections.abc import Iterator, MutableSequence, MutableSet, Sequence, Set
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any, NoReturn, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from typing_extensions import ReadOnly, is_typeddict

from autocrud.errors import ConfigurationError
from autocrud.fields import Index, IndexField, Unique, column_kind

_LISTS = {list, set, frozenset, deque, Sequence, MutableSequence, Set, MutableSet}
_QUALIFIERS = {Required, NotRequired, ReadOnly}
_INDEXABLE = (
    "one scalar type (text, integer, float, bool, Decimal, date, time, datetime, UUID, or an enum of one of these),"
    " or a list of one"
)


def fields_of(record: Any) -> dict[str, FieldInfo]:
    """The fields of a record by their Python names."""
    origin = get_origin(record) or record
    if isinstance(record, type) and issubclass(record, BaseModel):
        if not record.__pydantic_complete__:
            record.model_rebuild(raise_errors=False)
        return dict(record.model_fields)
    if dataclasses.is_dataclass(origin):
        declared = getattr(origin, "__pydantic_fields__", None)
        if declared is not None:
            return dict(declared)
    hints = get_type_hints(origin, include_extras=True)
    return {name: FieldInfo.from_annotation(_without_qualifiers(hint)) for name, hint in hints.items()}


def index_fields(model: Any, names: Sequence[str]) -> tuple[IndexField, ...]:
    """The index fields of a model: those with a marker, also in nested records, and those that are named.

    Markers of a record that contains itself are followed once; a name goes as deep as it likes. What stands in a
    mapping has no path, and a marker there marks nothing.

    Args:
        names: in JSON or in Python, as `address.city`.

    Raises:
        ConfigurationError: a field is not there, cannot be indexed, or has another one's name.
    """
    paths = _Paths(model)
    found = {place.names: place for place in paths.marked()}
    for name in names:
        place = paths.named(name)
        found.setdefault(place.names, place)
    order = {names: number for number, names in enumerate(paths.top)}
    places = sorted(found.values(), key=lambda place: order[place.names[:1]])
    _refuse_clashes(model.__name__, places)
    return tuple(paths.index_field(place) for place in places)


def _without_qualifiers(hint: Any) -> Any:
    return _without_qualifiers(get_args(hint)[0]) if get_origin(hint) in _QUALIFIERS else hint


@dataclass(slots=True)
class _Types:
    """What an annotation allows, taken apart; null does not matter."""

    scalars: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    markers: list[Index] = field(default_factory=list)

    def add(self, annotation: Any) -> None:
        """Take one more annotation apart."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        alias = getattr(annotation, "__value__", getattr(annotation, "__supertype__", None))
        if alias is not None:
            self.add(alias)
        elif origin is Annotated:
            self.add(arguments[0])
            self.markers += _markers(arguments[1:])
        elif origin in (Union, types.UnionType):
            for part in arguments:
                self.add(part)
        elif origin in _LISTS or (origin is tuple and arguments[1:] == (...,)):
            self.items.append(arguments[0] if arguments else Any)
        elif isinstance(annotation, type) and issubclass(annotation, RootModel):
            self.add(fields_of(annotation)["root"].annotation)
        elif _is_record(origin or annotation):
            self.records += [] if annotation in self.records else [annotation]
        elif annotation is not type(None):
            self.scalars += [] if annotation in self.scalars else [annotation]


def _markers(metadata: Sequence[Any]) -> list[Index]:
    return [item for item in metadata if isinstance(item, Index)]


def _taken_apart(annotations: Sequence[Any]) -> _Types:
    found = _Types()
    for annotation in annotations:
        found.add(annotation)
    return found


def _is_record(annotation: Any) -> bool:
    if not isinstance(annotation, type):
        return is_typeddict(annotation)
    return issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation) or is_typeddict(annotation)


@dataclass(slots=True)
class _Place:
    """Where a path leads to; what may stand there, each variant of a union having its own.

    Attributes:
        names: the path, in JSON.
        python_names: what the last name is in Python.
        owners: the records that have it.
        is_many: whether the path goes through a list.
    """

    names: tuple[str, ...] = ()
    python_names: set[str] = field(default_factory=set)
    owners: list[Any] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    markers: list[Index] = field(default_factory=list)
    is_excluded: bool = False
    is_many: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.names)

    def add(self, owner: Any, python_name: str, info: FieldInfo) -> None:
        self.owners.append(owner)
        self.python_names.add(python_name)
        self.annotations.append(info.annotation)
        self.markers += _markers(info.metadata)
        self.is_excluded |= bool(info.exclude)

    def types(self) -> tuple[_Types, bool]:
        """What stands there, or what the items are of a list that stands there; says whether it is a list.

        Raises:
            ValueError: it is sometimes a list, and sometimes not.
        """
        found = _taken_apart(self.annotations)
        if not found.items:
            return found, False
        if found.scalars or found.records:
            raise ValueError("is sometimes a list, and sometimes not")
        inner = _taken_apart(found.items)
        inner.markers += found.markers
        return inner, True


class _Paths:
    """The places within one model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._root = _Place(annotations=[model])
        self.top = self._members(self._root)
        self._leading: dict[Any, bool] = {}
        self._written: dict[Any, set[str]] = {}

    def marked(self) -> list[_Place]:
        """The places with a marker."""
        return list(self._marked(self._root, []))

    def named(self, name: str) -> _Place:
        """The place of this name.

        Raises:
            ConfigurationError: there is none, or more than one.
        """
        for by_python_name in (False, True):
            found = list(self._named(self._root, name, by_python_name))
            if len(found) > 1:
                raise ConfigurationError(f"{self._model.__name__} has more than one field {name!r} to index")
            if found:
                return found[0]
        raise ConfigurationError(f"{self._model.__name__} has no field {name!r} to index")

    def index_field(self, place: _Place) -> IndexField:
        """The index field for a place.

        Raises:
            ConfigurationError: it cannot be indexed.
        """
        try:
            found, is_list = place.types()
        except ValueError as error:
            self._refuse(place, str(error))
        is_list = is_list or place.is_many
        kinds = {column_kind(scalar) for scalar in found.scalars}
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind is None or found.records or found.items:
            shown = " | ".join(map(repr, place.annotations))
            self._refuse(place, f"{shown} is not {_INDEXABLE}")
        if place.is_excluded or not any(place.names[-1] in self._json_names(owner) for owner in place.owners):
            self._refuse(place, "it does not stand in the JSON under this name")
        if not place.name or "\0" in place.name or not _is_unicode(place.name):
            self._refuse(place, "no column can have this name")
        unique = any(isinstance(marker, Unique) for marker in [*place.markers, *found.markers])
        if unique and is_list:
            self._refuse(place, "a list cannot be unique")
        annotations = place.annotations
        if len(annotations) > 1 or _taken_apart(annotations).items:
            annotations = [reduce(operator.or_, found.scalars)]
        return IndexField(
            place.name, kind, unique, annotations[0], TypeAdapter(annotations[0]), is_list=is_list, path=place.names
        )

    def _members(self, place: _Place) -> dict[tuple[str, ...], _Place]:
        """The places one step on."""
        try:
            found, is_list = place.types()
        except ValueError:
            return {}
        members: dict[tuple[str, ...], _Place] = {}
        for record in found.records:
            for name, info in fields_of(record).items():
                given = (info.serialization_alias, info.alias, name)
                names = (*place.names, next(one for one in given if one is not None))
                member = members.setdefault(names, _Place(names, is_many=place.is_many or is_list))
                member.add(record, name, info)
        return members

    def _marked(self, place: _Place, seen: list[Any]) -> Iterator[_Place]:
        records = _records(place)
        if all(record in seen for record in records) or not any(map(self._leads_to_marker, records)):
            return
        for member in self._members(place).values():
            if _is_marked(member):
                yield member
            else:
                yield from self._marked(member, [*seen, *records])

    def _named(self, place: _Place, name: str, by_python_name: bool) -> Iterator[_Place]:
        for names, member in self._members(place).items():
            for own in {names[-1], *(member.python_names if by_python_name else ())}:
                if own == name:
                    yield member
                elif name.startswith(f"{own}."):
                    yield from self._named(member, name[len(own) + 1 :], by_python_name)

    def _leads_to_marker(self, record: Any) -> bool:
        """Whether there is a marker in a record, or in any that it contains: so that no other one is walked through."""
        waiting, seen = [record], list[Any]()
        while waiting and record not in self._leading:
            one = waiting.pop()
            if one in seen:
                continue
            seen.append(one)
            for member in self._members(_Place(annotations=[one])).values():
                if _is_marked(member):
                    self._leading[record] = True
                waiting += _records(member)
        return self._leading.setdefault(record, False)

    def _json_names(self, record: Any) -> set[str]:
        if record not in self._written:
            self._written[record] = _json_names(record)
        return self._written[record]

    def _refuse(self, place: _Place, reason: str) -> NoReturn:
        raise ConfigurationError(f"{self._model.__name__}.{place.name} cannot be indexed: {reason}")


def _records(place: _Place) -> list[Any]:
    try:
        return place.types()[0].records
    except ValueError:
        return []


def _is_marked(place: _Place) -> bool:
    found = _taken_apart(place.annotations)
    return bool(place.markers or found.markers or _taken_apart(found.items).markers)


def _json_names(record: Any) -> set[str]:
    """The names that a record has in JSON, by Pydantic's own account."""
    try:
        schema = TypeAdapter(record).json_schema(mode="serialization")
    except (PydanticUserError, PydanticSchemaGenerationError):
        return set()
    reference = schema.get("$ref")
    if reference:
        schema = schema["$defs"][reference.rpartition("/")[2]]
    return set(schema.get("properties", {}))


def _is_unicode(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _refuse_clashes(type_name: str, places: Sequence[_Place]) -> None:
    """Refuse names that are one name in SQL, or in a query."""
    seen: dict[str, str] = {}
    for place in places:
        other = seen.setdefault(place.name.lower(), place.name)
        if other != place.name:
            raise ConfigurationError(f"{type_name}: two index fields, {other} and {place.name}, differ only in case")
    if len({place.name for place in places}) < len(places):
        names = [place.name for place in places]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"{type_name}: two index fields have the name {twice!r}, one of which is a path")
