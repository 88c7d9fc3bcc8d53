"""Resolver: turns field names and text values into typed conditions and sort keys."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from autocrud.errors import ConfigurationError, InvalidParameter
from autocrud.query.conditions import (
    And,
    Compare,
    Condition,
    Matches,
    Not,
    ReferenceFilter,
    Sort,
    Term,
    all_of,
    leaves,
    replace_compares,
)
from autocrud.query.filter_values import split_list, term_value
from autocrud.query.metadata_fields import META_FIELDS
from autocrud.query.operators import Operand, Operator, OperatorSpec, operators_for
from autocrud.query.text_search import RankField, parse_text
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField, document_of

MAX_KEYS = 8
_SEPARATOR = "__"


class Resolver:
    """Resolves the names, operators and values of queries on one model.

    A field of the model has precedence over a metadata field of the same name, which becomes `meta.<name>`.

    Attributes:
        fields: the index fields of the model and the metadata, by name.
        document: the field of the search document; None if the model has no searched text.
        targets: the resolver of the referred model, by the name of the reference. Queries name a field of the referred
            model `<reference>.<name>`.
        operators: the operators of each field, by name.
    """

    def __init__(self, spec: ModelSpec[Any]) -> None:
        self._spec = spec
        self.fields: dict[str, IndexField] = {
            field.name: field for field in spec.index_fields if not isinstance(field, DocumentField)
        }
        self.document = document_of(spec.index_fields)
        for field in META_FIELDS:
            name = f"meta.{field.name}" if field.name in self.fields else field.name
            if name in self.fields:
                raise ConfigurationError(f"{spec.type_name}.{name} cannot be indexed: a metadata field has this name")
            self.fields[name] = field
        self.targets: dict[str, Resolver] = {}
        self.operators = {name: operators_for(field) for name, field in self.fields.items()}

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._spec.name

    def parameter(self, name: str) -> tuple[str, Operator] | None:
        """Return the field and the operator of a query parameter such as `age__gte`; None if it names no field."""
        if name in self.fields:
            return name, self.default_operator(name)
        field, separator, operator = name.rpartition(_SEPARATOR)
        if not separator or field not in self.fields:
            return self._referred_parameter(name)
        if operator not in self.operators[field]:
            allowed = ", ".join(self.operators[field])
            raise InvalidParameter(name, f"{field} has no operator {operator!r}; operators: {allowed}")
        return field, Operator(operator)

    def default_operator(self, field: str) -> Operator:
        """Return the operator of a query parameter that names a field alone."""
        return Operator.contains if self.fields[field].is_list else Operator.eq

    def compare(self, name: str, *texts: str) -> Compare:
        """Return the condition of a query parameter. A parameter that takes a list may occur more than once.

        Raises:
            InvalidParameter: the name has no index field, or the field has no such operator.
        """
        field, operator = self._require_parameter(name)
        takes = self.operators_of(field)[operator].takes
        if takes in (Operand.values, Operand.items, Operand.pair):
            return Compare(field, operator, [value for text in texts for value in split_list(name, text)])
        if len(texts) > 1:
            raise InvalidParameter(name, "must not be given more than once")
        return Compare(field, operator, texts[0])

    def operators_of(self, name: str) -> Mapping[Operator, OperatorSpec]:
        """Return the operators of a field of the model, or of a referred model.

        Raises:
            InvalidParameter: the field does not exist.
        """
        if name in self.operators:
            return self.operators[name]
        for reference, target in self.targets.items():
            if name.startswith(f"{reference}."):
                return target.operators_of(name[len(reference) + 1 :])
        raise self._unknown_field(name)

    def parse_mapping(self, where: Mapping[str, Any] | None) -> Condition | None:
        """Return the condition for a mapping of parameters such as `age__gte` to Python values; None if it is empty."""
        return all_of(*(Compare(*self._require_parameter(name), value) for name, value in (where or {}).items()))

    def condition(self, condition: Condition | None) -> Condition | None:
        """Return the condition with each `Compare` resolved to a term.

        Raises:
            InvalidParameter: a field is not indexed, an operator does not apply to it, or a value does not fit.
        """
        return None if condition is None else replace_compares(condition, self._term)

    def text(self, text: str) -> Matches:
        """Return the condition for a text search.

        Raises:
            InvalidParameter: the model has no searched field, or the text has no word to search for.
        """
        if self.document is None:
            raise InvalidParameter("q", f"no field of {self._spec.name} is marked as Index(text=True)")
        return Matches(self.document, parse_text(text))

    def sort(self, text: str) -> tuple[Sort, ...]:
        """Return the sort keys for a text such as `-created_time,name`.

        Raises:
            InvalidParameter: a name is not a sortable field or occurs twice, or the text has too many names.
        """
        keys: list[Sort] = []
        for part in map(str.strip, text.split(",")):
            name = part.removeprefix("-")
            field = self.fields.get(name)
            if field is None or field.is_list:
                raise InvalidParameter("sort", f"cannot sort by {name!r}; sortable fields: {', '.join(self.sortable)}")
            if any(key.field == field for key in keys):
                raise InvalidParameter("sort", f"must not name {name!r} twice")
            keys.append(Sort(field, part.startswith("-")))
        if len(keys) > MAX_KEYS:
            raise InvalidParameter("sort", f"must name at most {MAX_KEYS} fields")
        return tuple(keys)

    @property
    def sortable(self) -> list[str]:
        """The names of the fields that lists can sort by."""
        return [name for name, field in self.fields.items() if not field.is_list]

    @property
    def all_names(self) -> list[str]:
        """The names of all fields, those of referred models included."""
        referred = [f"{reference}.{name}" for reference, target in self.targets.items() for name in target.own_fields]
        return [*self.fields, *referred]

    @property
    def names(self) -> str:
        """The names of all fields in error messages, separated by commas."""
        return ", ".join(self.all_names)

    @property
    def own_fields(self) -> Mapping[str, IndexField]:
        """The fields of the model, without the metadata."""
        return {name: field for name, field in self.fields.items() if not field.is_meta}

    def _require_parameter(self, name: str) -> tuple[str, Operator]:
        parameter = self.parameter(name)
        if parameter is None:
            raise self._unknown_field(name)
        return parameter

    def _unknown_field(self, name: str) -> InvalidParameter:
        return InvalidParameter(name, f"is not an index field of {self._spec.name}; index fields: {self.names}")

    def _referred_parameter(self, name: str) -> tuple[str, Operator] | None:
        for reference, target in self.targets.items():
            if name.startswith(f"{reference}."):
                with _prefix_errors(reference):
                    parameter = target.parameter(name[len(reference) + 1 :])
                return None if parameter is None else (f"{reference}.{parameter[0]}", parameter[1])
        return None

    def _referred_term(self, compare: Compare) -> Condition | None:
        for reference, target in self.targets.items():
            if compare.field.startswith(f"{reference}."):
                inner = Compare(compare.field[len(reference) + 1 :], compare.operator, compare.value)
                with _prefix_errors(reference):
                    term = target._term(inner)
                return _reference_filter(self.fields[reference], target._spec.name, term)
        return None

    def _term(self, compare: Compare) -> Condition:
        field = self.fields.get(compare.field)
        if field is None:
            referred_term = self._referred_term(compare)
            if referred_term is not None:
                return referred_term
            raise self._unknown_field(compare.field)
        operator = compare.operator
        meaning = self.operators[compare.field].get(operator)
        if meaning is None:
            allowed = ", ".join(self.operators[compare.field])
            raise InvalidParameter(compare.field, f"has no operator {operator.value!r}; operators: {allowed}")
        if compare.value is None and operator in (Operator.eq, Operator.ne):
            return Term(field, Operator.is_null, int(operator is Operator.eq))
        name = compare.field if operator is Operator.eq else f"{compare.field}{_SEPARATOR}{operator.value}"
        try:
            return Term(field, operator, term_value(field, operator, meaning, compare.value))
        except ValidationError as error:
            raise InvalidParameter(name, error.errors()[0]["msg"]) from error
        except (ValueError, ArithmeticError) as error:
            raise InvalidParameter(name, str(error)) from error


def filters_by_deleted(condition: Condition | None) -> bool:
    """Return True if a condition filters by `is_deleted`, and so chooses between live and deleted resources itself."""
    return any(isinstance(leaf, Term) and leaf.field.column == "is_deleted" for leaf in leaves(condition))


def rank_order(matches: Matches) -> tuple[Sort, ...]:
    """Return the order of a text search: best matches first."""
    return (Sort(RankField(matches.field, matches.text), descending=True),)


def combine(first: Condition | None, second: Condition | None) -> Condition | None:
    """Return the conjunction of two optional conditions; None if both are None."""
    return first if second is None else second if first is None else And((first, second))


@contextmanager
def _prefix_errors(reference: str) -> Iterator[None]:
    """Add the reference to the field of an error, so that the error names the parameter as the client wrote it."""
    try:
        yield
    except InvalidParameter as error:
        (field_error,) = error.errors
        raise InvalidParameter(f"{reference}.{field_error.field}", field_error.message) from error


def _reference_filter(reference: IndexField, model: str, term: Condition) -> Condition:
    """Return the reference filter for a term on the referred model."""
    # A field of a missing resource counts as null. These operators hold for null, but a filter for referred resources
    # finds no missing ones. So the filter finds the resources for which the operator does not hold, and is negated.
    match term:
        case Term(field, Operator.ne, value):
            return Not(ReferenceFilter(reference, model, Term(field, Operator.eq, value)))
        case Term(field, Operator.not_in, value):
            return Not(ReferenceFilter(reference, model, Term(field, Operator.in_, value)))
        case Term(field, Operator.is_null, 1):
            return Not(ReferenceFilter(reference, model, Term(field, Operator.is_null, 0)))
    return ReferenceFilter(reference, model, term)
