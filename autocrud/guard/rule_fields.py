"""Rule fields: the fields that the conditions of rules name, indexed or not."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from autocrud.errors import ConfigurationError
from autocrud.query.conditions import Compare, Condition, Term, leaves
from autocrud.query.operators import operators_for
from autocrud.query.resolver import Resolver
from autocrud.schema.index_discovery import index_fields
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head
from autocrud.storage.row_view import row_of


class RuleFields:
    """Resolves conditions of rules on one model, and reads the rows that they are judged on."""

    def __init__(self, spec: ModelSpec[Any]) -> None:
        self._spec = spec
        self._resolver = Resolver(spec)
        self._indexed = frozenset(self._resolver.fields)
        self._unindexed: dict[str, IndexField] = {}

    def resolve(self, condition: Condition) -> Condition:
        """Return a condition of terms.

        Raises:
            ConfigurationError: the model has no such field, or the field has no order, as a record.
            InvalidParameter: an operator does not apply to a field, or a value does not fit.
        """
        for name in names_in(condition):
            if name not in self._resolver.fields:
                self._add(name)
        resolved = self._resolver.condition(condition)
        assert resolved is not None
        return resolved

    def not_indexed(self, condition: Condition) -> list[str]:
        """Return the names of fields in a condition of terms that are not indexed."""
        fields = (leaf.field for leaf in leaves(condition) if isinstance(leaf, Term))
        return [field.name for field in fields if not field.is_meta and field.name not in self._indexed]

    def row_of(self, head: Head) -> dict[str, Any]:
        """Return the row of a resource, with the fields that are not indexed."""
        row: dict[str, Any] = row_of(self._spec, head.meta, self._spec.stored_values(head.data)[0])
        if self._unindexed:
            document = None if head.data is None else from_json(head.data)
            for field in self._unindexed.values():
                row[field.column] = _value(field, document)
        return row

    def _add(self, name: str) -> None:
        try:
            found = [field for field in index_fields(self._spec.model, [name]) if field.name == name]
        except ConfigurationError as error:
            raise ConfigurationError(f"A rule of {self._spec.name} names {name!r}: {error}") from error
        if not found:
            raise ConfigurationError(f"A rule of {self._spec.name} names {name!r}; use the name that clients see")
        self._resolver.fields[name] = self._unindexed[name] = found[0]
        self._resolver.operators[name] = operators_for(found[0])


def names_in(condition: Condition) -> Iterator[str]:
    """Yield the names of the fields that an unresolved condition compares."""
    for leaf in leaves(condition):
        if isinstance(leaf, Compare):
            yield leaf.field


def _value(field: IndexField, document: Any) -> Any:
    try:
        return None if document is None else field.index_value(document)
    except (ValueError, ArithmeticError):
        return None  # stored before the type changed
