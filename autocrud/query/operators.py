"""The operators of filters: the one table. `query/evaluate.py` tells what each means, and each compiler follows it."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField


class Operator(StrEnum):
    """What a filter asks of a field."""

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


class Takes(Enum):
    """What an operator is given."""

    value = "a value of the field"
    pair = "two values of the field"
    values = "some values of the field"
    item = "an item of the list"
    items = "some items of the list"
    text = "a text"
    pattern = "a regular expression"
    flag = "true or false"


class On(Enum):
    """Which fields an operator is for."""

    scalars = "fields with one value"
    ordered = "fields with one value that has an order"
    texts = "fields with a text"
    lists = "fields with a list"
    all = "all fields"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table. `says` goes on "Only resources whose field …"."""

    takes: Takes
    on: On
    says: str


OPERATORS: dict[Operator, Meaning] = {
    Operator.eq: Meaning(Takes.value, On.scalars, "is this"),
    Operator.ne: Meaning(Takes.value, On.scalars, "is not this; null is not"),
    Operator.gt: Meaning(Takes.value, On.ordered, "is greater"),
    Operator.gte: Meaning(Takes.value, On.ordered, "is this or greater"),
    Operator.lt: Meaning(Takes.value, On.ordered, "is less"),
    Operator.lte: Meaning(Takes.value, On.ordered, "is this or less"),
    Operator.between: Meaning(Takes.pair, On.ordered, "is from the first to the second, both included"),
    Operator.in_: Meaning(Takes.values, On.scalars, "is one of these"),
    Operator.not_in: Meaning(Takes.values, On.scalars, "is none of these; null is none"),
    Operator.contains: Meaning(Takes.text, On.texts, "contains this text"),
    Operator.icontains: Meaning(Takes.text, On.texts, "contains this text, in whatever case (Unicode's case folding)"),
    Operator.starts_with: Meaning(Takes.text, On.texts, "starts with this text"),
    Operator.ends_with: Meaning(Takes.text, On.texts, "ends with this text"),
    Operator.regex: Meaning(Takes.pattern, On.texts, "has a part that this regular expression matches"),
    Operator.contains_any: Meaning(Takes.items, On.lists, "has one of these items"),
    Operator.contains_all: Meaning(Takes.items, On.lists, "has all of these items"),
    Operator.is_null: Meaning(Takes.flag, On.all, "is null, or is not"),
}
# Of a list, `contains` asks for an item.
LIST_CONTAINS = Meaning(Takes.item, On.lists, "has this item")


def operators_for(field: IndexField) -> dict[Operator, Meaning]:
    """The operators that a field has, in the table's order."""
    if field.is_list:
        found = {name: row for name, row in OPERATORS.items() if row.on in (On.lists, On.all)}
        return {Operator.contains: LIST_CONTAINS, **found}
    suited = {On.scalars, On.all}
    if field.kind is not ColumnKind.boolean:
        suited.add(On.ordered)
    if field.kind is ColumnKind.text:
        suited.add(On.texts)
    found = {name: row for name, row in OPERATORS.items() if row.on in suited}
    if field.is_meta:
        found.pop(Operator.icontains, None)  # ids and users are compared as they are
    return found
