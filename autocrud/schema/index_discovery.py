"""Which fields of a model are index fields: markers and names, followed through records, lists and unions.

A path's names are those of the JSON, joined by dots.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NoReturn

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from autocrud.errors import ConfigurationError
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField, column_kind
from autocrud.schema.markers import Index, Ref, Unique
from autocrud.schema.search_document import DocumentField, is_searched
from autocrud.schema.type_inspection import Types, fields_of, json_names, markers_in, taken_apart

_INDEXABLE = (
    "one scalar type (text, integer, float, bool, Decimal, date, time, datetime, UUID, or an enum of one of these),"
    " or a list of one"
)


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
    searched = [place.names for place in places if paths.is_searched(place)]
    named = {paths.named(name).names for name in names}
    fields = [paths.index_field(place) for place in places if place.names in named or place.is_filtered]
    return (*fields, DocumentField(searched)) if searched else tuple(fields)


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
        self.markers += markers_in(info.metadata)
        self.is_excluded |= bool(info.exclude)

    @property
    def is_filtered(self) -> bool:
        """Whether one of its markers says that it is filtered by."""
        return any(marker.filters for marker in self.all_markers)

    @property
    def all_markers(self) -> list[Index]:
        """Its markers, those of the items of a list among them."""
        found = taken_apart(self.annotations)
        return [*self.markers, *found.markers, *taken_apart(found.items).markers]

    def types(self) -> tuple[Types, bool]:
        """What stands there, or what the items are of a list that stands there; says whether it is a list.

        Raises:
            ValueError: it is sometimes a list, and sometimes not.
        """
        found = taken_apart(self.annotations)
        if not found.items:
            return found, False
        if found.scalars or found.records:
            raise ValueError("is sometimes a list, and sometimes not")
        inner = taken_apart(found.items)
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
        if place.is_excluded or not any(place.names[-1] in self._written_names(owner) for owner in place.owners):
            self._refuse(place, "it does not stand in the JSON under this name")
        if not place.name or "\0" in place.name or not _is_unicode(place.name):
            self._refuse(place, "no column can have this name")
        markers = [*place.markers, *found.markers]
        groups = dict.fromkeys(marker.group for marker in markers if isinstance(marker, Unique))
        if groups and is_list:
            self._refuse(place, "a list cannot be unique")
        annotations = place.annotations
        if len(annotations) > 1 or taken_apart(annotations).items:
            annotations = [reduce(operator.or_, found.scalars)]
        return IndexField(
            place.name,
            kind,
            None in groups,
            annotations[0],
            TypeAdapter(annotations[0]),
            is_list=is_list,
            path=place.names,
            groups=tuple(group for group in groups if group is not None),
            ref=next((marker for marker in markers if isinstance(marker, Ref)), None),
        )

    def is_searched(self, place: _Place) -> bool:
        """Whether a place is searched for words.

        Raises:
            ConfigurationError: there is no text there, or it is neither searched nor filtered by.
        """
        try:
            found, _ = place.types()
        except ValueError as error:
            self._refuse(place, str(error))
        kinds = {column_kind(scalar) for scalar in found.scalars}
        has_texts = kinds == {ColumnKind.text} and not found.records and not found.items
        return is_searched(f"{self._model.__name__}.{place.name}", has_texts, place.all_markers)

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

    def _written_names(self, record: Any) -> set[str]:
        if record not in self._written:
            self._written[record] = json_names(record)
        return self._written[record]

    def _refuse(self, place: _Place, reason: str) -> NoReturn:
        raise ConfigurationError(f"{self._model.__name__}.{place.name} cannot be indexed: {reason}")


def _records(place: _Place) -> list[Any]:
    try:
        return place.types()[0].records
    except ValueError:
        return []


def _is_marked(place: _Place) -> bool:
    found = taken_apart(place.annotations)
    return bool(place.markers or found.markers or taken_apart(found.items).markers)


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
