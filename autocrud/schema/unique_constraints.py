"""Unique sets: which index fields of a model must differ between live resources, one alone or several together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from autocrud.errors import ConfigurationError, FieldError
from autocrud.schema.column_types import MAX_TEXT_BYTES, ColumnKind, IndexValue
from autocrud.schema.index_field import IndexField

_MOST_FIELDS = 32  # of one index in PostgreSQL
_OF_ANY_LENGTH = (ColumnKind.text, ColumnKind.decimal)


@dataclass(frozen=True, slots=True)
class UniqueSet:
    """Index fields whose values, all of them together, no two live resources of the model may share.

    A resource with a null in any of them claims nothing.

    Attributes:
        name: tells it from the model's other sets, and is part of its index's name.
        positions: of its fields among the model's index fields.
    """

    name: str
    positions: tuple[int, ...]
    fields: tuple[IndexField, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its fields' names."""
        return tuple(field.name for field in self.fields)

    def claim(self, index: Sequence[Any]) -> tuple[Any, ...] | None:
        """Of all index values those that must be unique; None where one of them is null."""
        values = tuple(index[position] for position in self.positions)
        return None if None in values else values

    def misfits(self, index: Sequence[IndexValue]) -> Iterator[FieldError]:
        """What is wrong with values that fit their columns, but together no index."""
        long = [
            (field.name, len(str(index[position] or "").encode()))
            for position, field in zip(self.positions, self.fields, strict=True)
            if field.kind in _OF_ANY_LENGTH
        ]
        if len(long) > 1 and sum(size for _, size in long) > MAX_TEXT_BYTES:
            message = f"{', '.join(self.names)} are unique together, and may have {MAX_TEXT_BYTES} bytes in all"
            yield from (FieldError(name, message) for name, _ in long)

    def refused(self, type_name: str) -> ConfigurationError:
        """The error where stored resources stand in the way."""
        if len(self.fields) == 1:
            reason = f"{type_name}.{self.name} cannot be unique: stored resources share a value of it"
        else:
            reason = f"{type_name}: {', '.join(self.names)} cannot be unique together: stored resources share them"
        return ConfigurationError(reason)


def unique_sets(
    type_name: str, fields: Sequence[IndexField], together: Sequence[Sequence[str]]
) -> tuple[UniqueSet, ...]:
    """A model's unique sets in the order of declaration: by their first field, then those of `unique_together`.

    Raises:
        ConfigurationError: one of them cannot be.
    """
    groups: dict[tuple[str, bool], list[int]] = {}
    for position, field in enumerate(fields):
        if field.unique:
            groups[field.name, False] = [position]
        for group in field.groups:
            groups.setdefault((group, True), []).append(position)
    for (group, is_group), positions in groups.items():
        if is_group and len(positions) == 1:
            name = fields[positions[0]].name
            raise ConfigurationError(
                f"{type_name}.{name} is the only field of the group {group!r}: Unique() makes one field unique"
            )
    sets = [_set(type_name, fields, positions) for positions in groups.values()]
    sets += [_set(type_name, fields, _positions(type_name, fields, names)) for names in together]
    seen: set[frozenset[int]] = set()
    for unique in sets:
        if frozenset(unique.positions) in seen:
            raise ConfigurationError(f"{type_name}: {', '.join(unique.names)} are declared unique together twice")
        seen.add(frozenset(unique.positions))
    return tuple(sets)


def names_of(type_name: str, together: Sequence[Sequence[str]]) -> list[str]:
    """The index fields that `unique_together` names.

    Raises:
        ConfigurationError: it is not a list of sets of names.
    """
    if any(isinstance(names, str) for names in (together, *together)):
        raise ConfigurationError(f'{type_name}: unique_together is a list of sets, such as [("title", "year")]')
    return [name for names in together for name in names]


def _positions(type_name: str, fields: Sequence[IndexField], names: Sequence[str]) -> list[int]:
    places = {field.name: position for position, field in enumerate(fields)}
    unknown = [name for name in names if name not in places]
    if unknown:
        are = f"which is no index field; these are: {', '.join(places)}"
        raise ConfigurationError(f"{type_name}: unique_together names {unknown[0]!r}, {are}")
    if len(set(names)) < max(len(names), 2):
        raise ConfigurationError(f"{type_name}: unique_together needs several fields in each set, each of them once")
    return [places[name] for name in names]


def _set(type_name: str, fields: Sequence[IndexField], positions: Sequence[int]) -> UniqueSet:
    members = tuple(fields[position] for position in positions)
    for field in members:
        if field.is_list:
            raise ConfigurationError(f"{type_name}.{field.name} is a list, and cannot be unique")
    if len(members) > _MOST_FIELDS:
        raise ConfigurationError(f"{type_name}: at most {_MOST_FIELDS} fields can be unique together")
    # Commas stand between the names alone, so that no two sets are called the same.
    name = members[0].name if len(members) == 1 else ",".join(quote(field.name, safe="") for field in members)
    return UniqueSet(name, tuple(positions), members)
