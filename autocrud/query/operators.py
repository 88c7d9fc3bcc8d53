"""The table of filter operators. `query/evaluate.py` defines the semantics that every compiler implements."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField


class Operator(StrEnum):
    """A comparison of a field with a value."""

    eq = "eq"
    ne = "ne"
    gt = "gt"
    gte = "gte"
    lt = "lt"
    lte = "lte"
    between = "between"
    in_ = "in"
    not_in = "not_in"
    contains = "contains"
    icontains = "icontains"
    starts_with = "starts_with"
    ends_with = "ends_with"
    regex = "regex"
    contains_any = "contains_any"
    contains_all = "contains_all"
    is_null = "is_null"


class Operand(Enum):
    """The kind of operand that an operator takes."""

    value = "a value of the field"
    pair = "two values of the field"
    values = "a list of values of the field"
    item = "an item of the list"
    items = "a list of items"
    text = "a text"
    pattern = "a regular expression"
    flag = "true or false"


class FieldSet(Enum):
    """The fields that an operator applies to."""

    scalars = "fields with one value"
    ordered = "fields with one value of an ordered type"
    texts = "text fields"
    lists = "list fields"
    all = "all fields"


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """A row of the table.

    Attributes:
        takes: the kind of operand.
        fields: the fields that have the operator.
        says: the end of the sentence "Only resources whose field …", for OpenAPI.
    """

    takes: Operand
    fields: FieldSet
    predicate: str


OPERATORS: dict[Operator, OperatorSpec] = {
    Operator.eq: OperatorSpec(Operand.value, FieldSet.scalars, "equals the value"),
    Operator.ne: OperatorSpec(Operand.value, FieldSet.scalars, "differs from the value; null counts as different"),
    Operator.gt: OperatorSpec(Operand.value, FieldSet.ordered, "is greater than the value"),
    Operator.gte: OperatorSpec(Operand.value, FieldSet.ordered, "is greater than or equal to the value"),
    Operator.lt: OperatorSpec(Operand.value, FieldSet.ordered, "is less than the value"),
    Operator.lte: OperatorSpec(Operand.value, FieldSet.ordered, "is less than or equal to the value"),
    Operator.between: OperatorSpec(Operand.pair, FieldSet.ordered, "lies between the two values, both included"),
    Operator.in_: OperatorSpec(Operand.values, FieldSet.scalars, "equals one of the values"),
    Operator.not_in: OperatorSpec(Operand.values, FieldSet.scalars, "equals none of the values; null is different"),
    Operator.contains: OperatorSpec(Operand.text, FieldSet.texts, "contains the text"),
    Operator.icontains: OperatorSpec(Operand.text, FieldSet.texts, "contains the text, ignoring case"),
    Operator.starts_with: OperatorSpec(Operand.text, FieldSet.texts, "starts with the text"),
    Operator.ends_with: OperatorSpec(Operand.text, FieldSet.texts, "ends with the text"),
    Operator.regex: OperatorSpec(Operand.pattern, FieldSet.texts, "matches the regular expression at any position"),
    Operator.contains_any: OperatorSpec(Operand.items, FieldSet.lists, "contains at least one of the items"),
    Operator.contains_all: OperatorSpec(Operand.items, FieldSet.lists, "contains all of the items"),
    Operator.is_null: OperatorSpec(Operand.flag, FieldSet.all, "is null (true) or is not null (false)"),
}
# For a list field, `contains` takes an item instead of a text.
LIST_CONTAINS = OperatorSpec(Operand.item, FieldSet.lists, "contains the item")


def operators_for(field: IndexField) -> dict[Operator, OperatorSpec]:
    """Return the operators of a field in the order of the table."""
    if field.is_list:
        operators = {name: row for name, row in OPERATORS.items() if row.fields in (FieldSet.lists, FieldSet.all)}
        return {Operator.contains: LIST_CONTAINS, **operators}
    field_sets = {FieldSet.scalars, FieldSet.all}
    if field.kind is not ColumnKind.boolean:
        field_sets.add(FieldSet.ordered)
    if field.kind is ColumnKind.text:
        field_sets.add(FieldSet.texts)
    operators = {name: row for name, row in OPERATORS.items() if row.fields in field_sets}
    if field.is_meta:
        operators.pop(Operator.icontains, None)  # ids and users are case-sensitive
    return operators
