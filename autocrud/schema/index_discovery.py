"""Index discovery: find the index fields of a model by marker and by name, through records, lists and unions.

The name of an index field is its path in the names that clients see, joined by dots.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from autocrud.errors import ConfigurationError
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.forms.stored_form import stored_adapter
from autocrud.schema.index_field import IndexField
from autocrud.schema.markers import Index, Ref, Unique
from autocrud.schema.scalar_types import column_kind, filter_type, is_secret, with_text_conversions
from autocrud.schema.search_document import DocumentField, is_searched
from autocrud.schema.type_inspection import TypeParts, fields_of, inspect_types, json_names, markers_in

_INDEXABLE = (
    "one scalar type (text, URL, IP address, integer, float, bool, Decimal, date, time, datetime, UUID, or an enum of"
    " one of these), or a list of one"
)


def index_fields(model: Any, names: Sequence[str], schema_version: int = 1) -> tuple[IndexField, ...]:
    """Return the index fields of a model: the fields with a marker, also in nested records, and the fields in `names`.

    Markers of a recursive record are followed once; a name may be nested to any depth. A field inside a mapping has no
    path, so a marker there has no effect.

    Args:
        names: paths of fields in JSON or Python names, such as `address.city`.
        schema_version: the schema version of the model.

    Raises:
        ConfigurationError: a field does not exist, cannot be indexed, or has the same name as another field.
    """
    finder = _FieldFinder(model, schema_version)
    nodes = {node.names: node for node in finder.find_marked()}
    requested = [finder.find(name) for name in names]
    for node in requested:
        nodes.setdefault(node.names, node)
    order = {names: number for number, names in enumerate(finder.top)}
    sorted_nodes = sorted(nodes.values(), key=lambda node: order[node.names[:1]])
    _refuse_clashes(model.__name__, sorted_nodes)
    searched_paths = [node.stored_names for node in sorted_nodes if finder.is_searched(node)]
    requested_paths = {node.names for node in requested}
    fields = [finder.index_field(node) for node in sorted_nodes if node.names in requested_paths or node.is_filtered]
    return (*fields, DocumentField(searched_paths, schema_version)) if searched_paths else tuple(fields)


def stored_path(model: Any, name: str) -> tuple[str, ...]:
    """Return the path of a field in the stored form, given by its path in JSON or Python names.

    Raises:
        ConfigurationError: the field does not exist, or is part of a list.
    """
    node = _FieldFinder(model, 1).find(name)
    if node.is_many:
        raise ConfigurationError(f"{model.__name__}.{name} is part of a list")
    if not node.stored_names:
        raise ConfigurationError(f"{model.__name__}.{name}: variants of a union store the field by different names")
    return node.stored_names


@dataclass(slots=True)
class _PathNode:
    """The field at a path, merged from all variants of a union that have the field.

    Attributes:
        names: the path in the names that clients see.
        stored_names: the path in the stored form; empty if two variants of a union store the field by different names.
        python_names: the Python names of the last path segment.
        owners: the records that have the field.
        metadata: the metadata around the annotations, such as constraints.
        is_many: True if the path goes through a list.
    """

    names: tuple[str, ...] = ()
    stored_names: tuple[str, ...] = ()
    python_names: set[str] = field(default_factory=set)
    owners: list[Any] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    metadata: list[Any] = field(default_factory=list)
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
        self.metadata += info.metadata
        self.markers += markers_in(info.metadata)
        self.is_excluded |= bool(info.exclude)

    @property
    def is_filtered(self) -> bool:
        """True if a marker makes the field available to filters."""
        return any(marker.filters for marker in self.all_markers)

    @property
    def all_markers(self) -> list[Index]:
        """The markers of the field, including the markers of a list's items."""
        parts = inspect_types(self.annotations)
        return [*self.markers, *parts.markers, *inspect_types(parts.items).markers]

    def types(self) -> tuple[TypeParts, bool]:
        """Return the types of the field, or of a list's items, and True if the field is a list.

        Raises:
            ValueError: the type is a union of a list and another type.
        """
        parts = inspect_types(self.annotations)
        if not parts.items:
            return parts, False
        if parts.scalars or parts.records:
            raise ValueError("the type is a union of a list and another type")
        item_parts = inspect_types(parts.items)
        item_parts.markers += parts.markers
        return item_parts, True


class _FieldFinder:
    """Finds fields of one model by marker and by name, and builds their index fields."""

    def __init__(self, model: Any, schema_version: int) -> None:
        self._model = model
        self._schema_version = schema_version
        self._root = _PathNode(annotations=[model])
        self.top = self._members(self._root)
        self._has_markers: dict[Any, bool] = {}
        self._json_names: dict[Any, set[str]] = {}

    def find_marked(self) -> list[_PathNode]:
        """Return the nodes with a marker."""
        return list(self._iter_marked(self._root, []))

    def find(self, name: str) -> _PathNode:
        """Return the node of this name. JSON names have precedence over Python names.

        Raises:
            ConfigurationError: the model has no such field, or more than one.
        """
        for by_python_name in (False, True):
            nodes = list(self._iter_named(self._root, name, by_python_name))
            if len(nodes) > 1:
                raise ConfigurationError(f"{self._model.__name__} has more than one field {name!r} to index")
            if nodes:
                return nodes[0]
        raise ConfigurationError(f"{self._model.__name__} has no field {name!r} to index")

    def index_field(self, node: _PathNode) -> IndexField:
        """Return the index field for a node.

        Raises:
            ConfigurationError: the field cannot be indexed.
        """
        try:
            parts, is_list = node.types()
        except ValueError as error:
            self._refuse(node, str(error))
        is_list = is_list or node.is_many
        if any(map(is_secret, parts.scalars)):
            self._refuse(node, "filters would reveal the secret, and Pydantic masks its value")
        kinds = {column_kind(scalar) for scalar in parts.scalars}
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind is None or parts.records or parts.items:
            type_names = " | ".join(map(repr, node.annotations))
            self._refuse(node, f"the type {type_names} is not {_INDEXABLE}")
        if not node.stored_names:
            self._refuse(node, "variants of a union have two fields with this alias; give both fields one name")
        if node.is_excluded or not any(node.names[-1] in self._names_in_json(owner) for owner in node.owners):
            self._refuse(node, "the JSON has no field of this name")
        if not node.name or "\0" in node.name or not _is_unicode(node.name):
            self._refuse(node, "the name is empty, contains U+0000 or is not valid Unicode")
        markers = [*node.markers, *parts.markers]
        groups = dict.fromkeys(marker.group for marker in markers if isinstance(marker, Unique))
        if groups and is_list:
            self._refuse(node, "a list cannot be unique")
        annotations = node.annotations
        if len(annotations) > 1 or inspect_types(annotations).items:
            annotations = [reduce(operator.or_, parts.scalars)]
        annotation = with_text_conversions(filter_type(annotations[0]), node.metadata if not is_list else ())
        return IndexField(
            node.name,
            kind,
            None in groups,
            annotation,
            stored_adapter(annotation),
            is_list=is_list,
            path=node.stored_names,
            groups=tuple(group for group in groups if group is not None),
            ref=next((marker for marker in markers if isinstance(marker, Ref)), None),
            schema_version=self._schema_version,
        )

    def is_searched(self, node: _PathNode) -> bool:
        """Return True if `q=` searches the field.

        Raises:
            ConfigurationError: the field holds no text, or neither a search nor a filter can use the field.
        """
        try:
            parts, _ = node.types()
        except ValueError as error:
            self._refuse(node, str(error))
        kinds = {column_kind(scalar) for scalar in parts.scalars}
        has_texts = kinds == {ColumnKind.text} and not parts.records and not parts.items
        return is_searched(f"{self._model.__name__}.{node.name}", has_texts, node.all_markers)

    def _members(self, node: _PathNode) -> dict[tuple[str, ...], _PathNode]:
        """Return the child nodes by path."""
        try:
            parts, is_list = node.types()
        except ValueError:
            return {}
        members: dict[tuple[str, ...], _PathNode] = {}
        for record in parts.records:
            for name, info in fields_of(record).items():
                candidates = (info.serialization_alias, info.alias, name)
                names = (*node.names, next(alias for alias in candidates if alias is not None))
                stored_names = (*node.stored_names, name)
                new = _PathNode(names, stored_names, is_many=node.is_many or is_list)
                member = members.setdefault(names, new)
                if member.stored_names != stored_names:
                    member.stored_names = ()
                member.add(record, name, info)
        return members

    def _iter_marked(self, node: _PathNode, parents: list[Any]) -> Iterator[_PathNode]:
        records = _records(node)
        if all(record in parents for record in records) or not any(map(self._contains_marker, records)):
            return
        for member in self._members(node).values():
            if _is_marked(member):
                yield member
            else:
                yield from self._iter_marked(member, [*parents, *records])

    def _iter_named(self, node: _PathNode, name: str, by_python_name: bool) -> Iterator[_PathNode]:
        for names, member in self._members(node).items():
            for segment in {names[-1], *(member.python_names if by_python_name else ())}:
                if segment == name:
                    yield member
                elif name.startswith(f"{segment}."):
                    yield from self._iter_named(member, name[len(segment) + 1 :], by_python_name)

    def _contains_marker(self, record: Any) -> bool:
        """Return True if a record, or a record inside it, has a marker. The walk skips all other records."""
        queue, visited = [record], list[Any]()
        while queue and record not in self._has_markers:
            current = queue.pop()
            if current in visited:
                continue
            visited.append(current)
            for member in self._members(_PathNode(annotations=[current])).values():
                if _is_marked(member):
                    self._has_markers[record] = True
                queue += _records(member)
        return self._has_markers.setdefault(record, False)

    def _names_in_json(self, record: Any) -> set[str]:
        if record not in self._json_names:
            self._json_names[record] = json_names(record)
        return self._json_names[record]

    def _refuse(self, node: _PathNode, reason: str) -> NoReturn:
        raise ConfigurationError(f"{self._model.__name__}.{node.name} cannot be indexed: {reason}")


def _records(node: _PathNode) -> list[Any]:
    try:
        return node.types()[0].records
    except ValueError:
        return []


def _is_marked(node: _PathNode) -> bool:
    return bool(node.all_markers)


def _is_unicode(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _refuse_clashes(type_name: str, nodes: Sequence[_PathNode]) -> None:
    """Refuse two fields whose names are equal in SQL or in a query."""
    # SQLite compares column names without regard to case.
    first_names: dict[str, str] = {}
    for node in nodes:
        first_name = first_names.setdefault(node.name.lower(), node.name)
        if first_name != node.name:
            raise ConfigurationError(
                f"{type_name}: two index fields, {first_name} and {node.name}, differ only in case"
            )
    if len({node.name for node in nodes}) < len(nodes):
        names = [node.name for node in nodes]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(
            f"{type_name}: two index fields have the name {duplicate!r}; one is nested, the other has a dot in its name"
        )
