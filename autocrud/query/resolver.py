"""From what somebody asks, by names and texts, to what a storage is asked: terms on columns, and an order."""

import csv
import re
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
    TermValue,
    all_of,
    leaves,
    mapped,
)
from autocrud.query.metadata_fields import META_FIELDS
from autocrud.query.operators import Meaning, Operator, Takes, operators_for
from autocrud.query.regex import canonical
from autocrud.query.text_search import RankField, parse_text
from autocrud.schema.column_types import MAX_TEXT_BYTES, ColumnKind, ColumnValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField, document_of

MAX_VALUES = 1000
MAX_KEYS = 8
_SEPARATOR = "__"
_TIMES = {ColumnKind.datetime, ColumnKind.date, ColumnKind.time}
_NUMBER = re.compile(r"\s*[+-]?[0-9._]+([eE][+-]?[0-9]+)?\s*")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


class Resolver:
    """The fields of one model that can be asked for, by the names that queries have for them.

    A field of the model goes before one of the metadata of that name, which is then `meta.<name>`.

    Attributes:
        targets: by the name of a reference, the model that it leads to, whose fields are then `<reference>.<name>`.
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
                raise ConfigurationError(f"{spec.type_name}.{name} cannot be indexed: the metadata has that name")
            self.fields[name] = field
        self.targets: dict[str, Resolver] = {}
        self.operators = {name: operators_for(field) for name, field in self.fields.items()}

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._spec.name

    def parameter(self, name: str) -> tuple[str, Operator] | None:
        """The field and the operator that a query parameter names, as in `age` or `age__gte`; None if it does not."""
        if name in self.fields:
            return name, self.bare_operator(name)
        field, separator, operator = name.rpartition(_SEPARATOR)
        if not separator or field not in self.fields:
            return self._beyond(name)
        if operator not in self.operators[field]:
            known = ", ".join(self.operators[field])
            raise InvalidParameter(name, f"{operator!r} is not an operator of {field}; these are: {known}")
        return field, Operator(operator)

    def bare_operator(self, field: str) -> Operator:
        """What is asked where no operator is named."""
        return Operator.contains if self.fields[field].is_list else Operator.eq

    def compare(self, name: str, *texts: str) -> Compare:
        """What a query parameter asks, given once, or more than once where it takes several values.

        Raises:
            InvalidParameter: it names no field that is indexed, or no operator of it.
        """
        found = self.parameter(name)
        if found is None:
            raise InvalidParameter(name, f"is not an index field of {self._spec.name}; these are: {self.names}")
        field, operator = found
        takes = self.meanings(field)[operator].takes
        if takes in (Takes.values, Takes.items, Takes.pair):
            return Compare(field, operator, [value for text in texts for value in _listed(name, text)])
        if len(texts) > 1:
            raise InvalidParameter(name, "is given more than once")
        return Compare(field, operator, texts[0])

    def meanings(self, name: str) -> Mapping[Operator, Meaning]:
        """The operators of a field, also of one that a reference leads to.

        Raises:
            InvalidParameter: there is no such field.
        """
        if name in self.operators:
            return self.operators[name]
        for reference, target in self.targets.items():
            if name.startswith(f"{reference}."):
                return target.meanings(name[len(reference) + 1 :])
        raise InvalidParameter(name, f"is not an index field of {self._spec.name}; these are: {self.names}")

    def mapping(self, where: Mapping[str, Any] | None) -> Condition | None:
        """What a mapping from parameters, as `age__gte`, to Python values asks."""
        found = []
        for name, value in (where or {}).items():
            parameter = self.parameter(name)
            if parameter is None:
                raise InvalidParameter(name, f"is not an index field of {self._spec.name}; these are: {self.names}")
            found.append(Compare(*parameter, value))
        return all_of(*found)

    def condition(self, asked: Condition | None) -> Condition | None:
        """The same condition, of terms.

        Raises:
            InvalidParameter: it names no field that is indexed, no operator of it, or has a value that does not fit.
        """
        return None if asked is None else mapped(asked, self._term)

    def text(self, text: str) -> Matches:
        """What somebody types into a text search asks.

        Raises:
            InvalidParameter: no field of the model is searched, or there is no word to look for.
        """
        if self.document is None:
            raise InvalidParameter("q", f"no field of {self._spec.name} is marked as Index(text=True)")
        return Matches(self.document, parse_text(text))

    def sort(self, text: str) -> tuple[Sort, ...]:
        """The order that a text such as `-created_time,name` asks for.

        Raises:
            InvalidParameter: it names no field that has an order.
        """
        keys: list[Sort] = []
        for part in text.split(","):
            name = part.removeprefix("-")
            field = self.fields.get(name)
            if field is None or field.is_list:
                known = ", ".join(self.sortable)
                raise InvalidParameter("sort", f"{name!r} is not a field to sort by; these are: {known}")
            if any(key.field == field for key in keys):
                raise InvalidParameter("sort", f"{name!r} is named twice")
            keys.append(Sort(field, part.startswith("-")))
        if len(keys) > MAX_KEYS:
            raise InvalidParameter("sort", f"may name at most {MAX_KEYS} fields")
        return tuple(keys)

    @property
    def sortable(self) -> list[str]:
        """The fields that an order can go by."""
        return [name for name, field in self.fields.items() if not field.is_list]

    @property
    def names(self) -> str:
        """The fields that there are, for people."""
        beyond = (f"{reference}.{name}" for reference, target in self.targets.items() for name in target.own)
        return ", ".join([*self.fields, *beyond])

    @property
    def own(self) -> Mapping[str, IndexField]:
        """The fields of the model itself, without the metadata."""
        return {name: field for name, field in self.fields.items() if not field.is_meta}

    def _beyond(self, name: str) -> tuple[str, Operator] | None:
        for reference, target in self.targets.items():
            if name.startswith(f"{reference}."):
                with _named(reference):
                    found = target.parameter(name[len(reference) + 1 :])
                return None if found is None else (f"{reference}.{found[0]}", found[1])
        return None

    def _through(self, asked: Compare) -> Condition | None:
        for reference, target in self.targets.items():
            if asked.field.startswith(f"{reference}."):
                inner = Compare(asked.field[len(reference) + 1 :], asked.operator, asked.value)
                with _named(reference):
                    term = target._term(inner)
                return _reaching(self.fields[reference], target._spec.name, term)
        return None

    def _term(self, asked: Compare) -> Condition:
        field = self.fields.get(asked.field)
        if field is None:
            through = self._through(asked)
            if through is not None:
                return through
            raise InvalidParameter(asked.field, f"is not an index field of {self._spec.name}; these are: {self.names}")
        meaning = self.operators[asked.field].get(asked.operator)
        if meaning is None:
            known = ", ".join(self.operators[asked.field])
            raise InvalidParameter(
                asked.field, f"{asked.operator.value!r} is not an operator of it; these are: {known}"
            )
        if asked.value is None and asked.operator in (Operator.eq, Operator.ne):
            return Term(field, Operator.is_null, int(asked.operator is Operator.eq))
        name = asked.field if asked.operator is Operator.eq else f"{asked.field}{_SEPARATOR}{asked.operator.value}"
        try:
            return Term(field, asked.operator, _value(field, asked.operator, meaning, asked.value))
        except ValidationError as error:
            raise InvalidParameter(name, error.errors()[0]["msg"]) from error
        except (ValueError, ArithmeticError) as error:
            raise InvalidParameter(name, str(error)) from error


def asks_for_deleted(condition: Condition | None) -> bool:
    """Whether a condition says itself what is to be with what is deleted."""
    return any(isinstance(leaf, Term) and leaf.field.column == "is_deleted" for leaf in leaves(condition))


def ranked(found: Matches) -> tuple[Sort, ...]:
    """The order of a text search: the best answers first."""
    return (Sort(RankField(found.field, found.text), descending=True),)


def both(one: Condition | None, other: Condition | None) -> Condition | None:
    """Two conditions that may not be there, as one."""
    return one if other is None else other if one is None else And((one, other))


@contextmanager
def _named(reference: str) -> Iterator[None]:
    """Errors name the parameter as the client wrote it."""
    try:
        yield
    except InvalidParameter as error:
        (one,) = error.errors
        raise InvalidParameter(f"{reference}.{one.field}", one.message) from error


def _reaching(reference: IndexField, model: str, term: Condition) -> Condition:
    """What is asked of a field beyond a reference, which is null where the reference leads nowhere."""
    match term:
        case Term(field, Operator.ne, value):
            return Not(ReferenceFilter(reference, model, Term(field, Operator.eq, value)))
        case Term(field, Operator.not_in, value):
            return Not(ReferenceFilter(reference, model, Term(field, Operator.in_, value)))
        case Term(field, Operator.is_null, 1):
            return Not(ReferenceFilter(reference, model, Term(field, Operator.is_null, 0)))
    return ReferenceFilter(reference, model, term)


def _value(field: IndexField, operator: Operator, meaning: Meaning, value: Any) -> TermValue:
    match meaning.takes:
        case Takes.value | Takes.item:
            return _required(field, value)
        case Takes.pair:
            values = _several(field, value)
            if len(values) != 2:
                raise ValueError("takes two values, as in 1,5")
            return values
        case Takes.values | Takes.items:
            return tuple(dict.fromkeys(_several(field, value)))
        case Takes.flag:
            return int(_flag(value))
        case Takes.pattern:
            return canonical(_text(value))
        case Takes.text:
            text = _text(value)
            return text.casefold() if operator is Operator.icontains else text


def _required(field: IndexField, value: Any) -> ColumnValue:
    if isinstance(value, str) and field.kind in _TIMES and _NUMBER.fullmatch(value):
        raise ValueError("must be written as a date or a time, not as a number")
    found = None if value is None else field.filter_value(value)
    if found is None:
        raise ValueError("may not be null here")
    return found


def _several(field: IndexField, value: Any) -> tuple[ColumnValue, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ValueError("takes several values")
    values = tuple(_required(field, item) for item in value)
    if not 1 <= len(values) <= MAX_VALUES:
        raise ValueError(f"takes 1 to {MAX_VALUES} values")
    return values


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise ValueError("must be true or false")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if "\0" in value or len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"must be a text of at most {MAX_TEXT_BYTES} bytes, without the character U+0000")
    return value


def _listed(name: str, text: str) -> list[str]:
    """Values that are separated by commas; one with a comma in it stands in double quotes, as in CSV (RFC 4180)."""
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidParameter(name, f"is not a list of values: {error}") from error
    return (rows[0] if rows else []) or [""]
