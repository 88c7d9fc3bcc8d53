"""Unique constraints: sets of index fields whose values no two live resources of a model share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from autocrud.errors import ConfigurationError, FieldError
from autocrud.schema.column_types import MAX_TEXT_BYTES, ColumnKind, IndexValue
from autocrud.schema.index_field import IndexField

_MAX_FIELDS = 32  # PostgreSQL's limit for one index (INDEX_MAX_KEYS)
_VARIABLE_LENGTH_KINDS = (ColumnKind.text, ColumnKind.decimal)


@dataclass(frozen=True, slots=True)
class UniqueConstraint:
    """A unique constraint: no two live resources of the model may share the values of all its fields.

    A resource with a null in any of the fields has no claim.

    Attributes:
        name: unique among the model's constraints; part of the name of the database index.
        positions: the positions of `fields` in the model's index fields.
        names: the names of `fields`.
    """

    name: str
    positions: tuple[int, ...]
    fields: tuple[IndexField, ...]
    names: tuple[str, ...]

    def length_errors(self, index: Sequence[IndexValue]) -> Iterator[FieldError]:
        """Yield an error per field if the values fit their columns but are too long for one index row in total."""
        sizes = [
            (field.name, len(str(index[position] or "").encode()))
            for position, field in zip(self.positions, self.fields, strict=True)
            if field.kind in _VARIABLE_LENGTH_KINDS
        ]
        if len(sizes) > 1 and sum(size for _, size in sizes) > MAX_TEXT_BYTES:
            message = (
                f"{', '.join(self.names)} are unique as a set and must have at most {MAX_TEXT_BYTES} bytes in total"
            )
            yield from (FieldError(name, message) for name, _ in sizes)

    def duplicates_error(self, type_name: str) -> ConfigurationError:
        """Return the error for a constraint that stored resources violate."""
        if len(self.fields) == 1:
            reason = f"{type_name}.{self.name} cannot be unique: stored resources share a value"
        else:
            reason = f"{type_name}: {', '.join(self.names)} cannot be unique as a set: stored resources share values"
        return ConfigurationError(reason)


def unique_constraints(
    type_name: str, fields: Sequence[IndexField], unique_together: Sequence[Sequence[str]]
) -> tuple[UniqueConstraint, ...]:
    """Return a model's unique constraints: from markers, in order of the first field, then from `unique_together`.

    Raises:
        ConfigurationError: a constraint is invalid or declared twice.
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
                f"{type_name}.{name} is the only field of the group {group!r}: use Unique() to make one field unique"
            )
    sets = [_build_constraint(type_name, fields, positions) for positions in groups.values()]
    sets += [_build_constraint(type_name, fields, _positions(type_name, fields, names)) for names in unique_together]
    declared: set[frozenset[int]] = set()
    for unique in sets:
        if frozenset(unique.positions) in declared:
            raise ConfigurationError(f"{type_name}: {', '.join(unique.names)} are declared unique as a set twice")
        declared.add(frozenset(unique.positions))
    return tuple(sets)


def constraint_field_names(type_name: str, unique_together: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of all fields in `unique_together`.

    Raises:
        ConfigurationError: `unique_together` is not a list of sets of names.
    """
    if any(isinstance(names, str) for names in (unique_together, *unique_together)):
        raise ConfigurationError(f'{type_name}: unique_together must be a list of sets, such as [("title", "year")]')
    return [name for names in unique_together for name in names]


def _positions(type_name: str, fields: Sequence[IndexField], names: Sequence[str]) -> list[int]:
    places = {field.name: position for position, field in enumerate(fields)}
    unknown = [name for name in names if name not in places]
    if unknown:
        reason = f"which is not an index field; index fields: {', '.join(places)}"
        raise ConfigurationError(f"{type_name}: unique_together names {unknown[0]!r}, {reason}")
    if len(set(names)) < max(len(names), 2):
        raise ConfigurationError(f"{type_name}: each set in unique_together must name two or more different fields")
    return [places[name] for name in names]


def _build_constraint(type_name: str, fields: Sequence[IndexField], positions: Sequence[int]) -> UniqueConstraint:
    members = tuple(fields[position] for position in positions)
    for field in members:
        if field.is_list:
            raise ConfigurationError(f"{type_name}.{field.name} is a list, and a list cannot be unique")
    if len(members) > _MAX_FIELDS:
        raise ConfigurationError(f"{type_name}: at most {_MAX_FIELDS} fields can be unique as a set")
    # Quoting escapes commas inside names: two different sets must not get one name.
    name = members[0].name if len(members) == 1 else ",".join(quote(field.name, safe="") for field in members)
    return UniqueConstraint(name, tuple(positions), members, tuple(field.name for field in members))
