"""Random queries about a model with all kinds of index fields."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from autocrud.query.conditions import And, Compare, Condition, Not, Or, Sort
from autocrud.query.operators import Operand, Operator
from autocrud.query.resolver import Resolver
from autocrud.schema.markers import Index
from autocrud.schema.model_spec import ModelSpec


class Colour(StrEnum):
    """Values of an enum."""

    red = "red"
    green = "green"


class Cat(BaseModel):
    """A variant with all fields."""

    kind: Literal["cat"] = "cat"
    name: Annotated[str | None, Index()] = None
    lives: Annotated[int, Index()] = 9


class Dog(BaseModel):
    """A variant with fewer fields."""

    kind: Literal["dog"] = "dog"
    name: str = ""


class Place(BaseModel):
    """A nested model with a list and a place inside."""

    city: Annotated[str, Index()] = ""
    labels: Annotated[list[str], Index()] = []
    within: "Place | None" = None


class Kinds(BaseModel):
    """A model with an index field of each kind, lists of each kind, and nested fields."""

    text: Annotated[str | None, Index()] = None
    word: Annotated[str, Index()] = ""
    colour: Annotated[Colour | None, Index()] = None
    integer: Annotated[int | None, Index()] = None
    real: Annotated[float | None, Index()] = None
    flag: Annotated[bool | None, Index()] = None
    amount: Annotated[Decimal | None, Index()] = None
    moment: Annotated[datetime | None, Index()] = None
    day: Annotated[date | None, Index()] = None
    clock: Annotated[time | None, Index()] = None
    key: Annotated[UUID | None, Index()] = None
    texts: Annotated[list[str | None] | None, Index()] = None
    integers: Annotated[set[int], Index()] = set()
    reals: Annotated[tuple[float, ...] | None, Index()] = None
    flags: Annotated[list[bool], Index()] = []
    amounts: Annotated[list[Decimal] | None, Index()] = None
    moments: Annotated[list[datetime], Index()] = []
    days: Annotated[frozenset[date], Index()] = frozenset()
    clocks: Annotated[list[time], Index()] = []
    keys: Annotated[list[UUID], Index()] = []
    place: Place | None = None
    pet: Annotated[Cat | Dog | None, Field(discriminator="kind")] = None
    pets: list[Cat | Dog] | None = None


_NESTED = ["place.within.city", "pet.kind"]
KINDS: ModelSpec[Kinds] = ModelSpec(Kinds, indexed_fields=_NESTED)
TEMPORAL_KINDS: ModelSpec[Kinds] = ModelSpec(Kinds, indexed_fields=_NESTED, temporal=True)
_FIELDS = Resolver(KINDS)
_TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "ß",
    "ss",
    "SS",
    "é",
    "e\u0301",
    "İ",
    "i",
    "\u0131",
    "\U0001f3ac",
    "\uffff",
    "a%",
    "a_",
    "'",
    "\\",
]
_VALUES: dict[str, list[Any]] = {
    "text": _TEXTS,
    "word": [text + other for text in _TEXTS for other in ("", "a", "Z\n")],
    "colour": list(Colour),
    "integer": [-(2**63), -1, 0, 1, 2, 2**63 - 1],
    "real": [-1e300, -0.5, -0.0, 0.0, 0.1, 1.0, 1e300],
    "flag": [True, False],
    "amount": [Decimal(text) for text in ("-10", "-1.25", "-1.2", "0", "0.10", "0.1", "1", "1.00", "9", "10", "1E+30")],
    "moment": [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2025, 12, 31, 23, tzinfo=UTC),
    ],
    "day": [date(1, 1, 1), date(2026, 1, 1), date(2026, 1, 2), date(9999, 12, 31)],
    "clock": [time(0), time(10), time(10, 0, 0, 500_000), time(10, 0, 1)],
    "key": [UUID(int=number) for number in (0, 1, 2**64, 2**128 - 1)],
    "pet.kind": ["cat", "dog"],
    "pet.lives": [7, 9],
    "resource_id": ["r00", "r07", "r1", "r30", "nobody"],
    "created_time": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second) for second in range(5)],
    "updated_time": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second) for second in range(5)],
    "created_by": ["ada", "bob"],
    "updated_by": ["ada", "bob"],
    "status": ["draft", "stable"],
    "version": [1, 2, 3],
    "current_revision_id": ["r00:1", "r07:2"],
    "total_revision_count": [1, 2],
    "schema_version": [1],
    "is_deleted": [True, False],
}
# Fields that have the values of others: lists of them, or nested.
_SIMILAR_TEXTS = {
    "texts": "text",
    "integers": "integer",
    "reals": "real",
    "flags": "flag",
    "amounts": "amount",
    "moments": "moment",
    "days": "day",
    "clocks": "clock",
    "keys": "key",
    "place.city": "text",
    "place.labels": "text",
    "place.within.city": "text",
    "pet.name": "text",
    "pets.name": "text",
    "pets.lives": "pet.lives",
}
_VALUES |= {name: _VALUES[other] for name, other in _SIMILAR_TEXTS.items()}
_PATTERNS = [
    "a",
    "^a",
    "a$",
    "^$",
    "[ab]+",
    "[^a]",
    "a|b",
    "(?:ab)?$",
    ".",
    "^.{2}$",
    "a.?Z",
    "\\w",
    "\\s",
    "\\W",
    "ß|é",
    "[\\d_%]",
    "a{2}",
    "\\.",
]


def random_values(chance: Random) -> dict[str, Any]:
    """Return the fields of a resource, some of them null."""
    values = {name: _random_value(chance, name) for name in Kinds.model_fields}
    return {name: value for name, value in values.items() if chance.random() < 0.8}


def random_condition(chance: Random, depth: int = 3) -> Condition:
    """Return a condition of at most this depth."""
    roll = chance.random()
    if depth and roll < 0.15:
        return Not(random_condition(chance, depth - 1))
    if depth and roll < 0.5:
        parts = tuple(random_condition(chance, depth - 1) for _ in range(chance.randint(1, 3)))
        return (And if roll < 0.3 else Or)(parts)
    name = chance.choice(list(_FIELDS.fields))
    operator = chance.choice(list(_FIELDS.operators[name]))
    return Compare(name, operator, _terms_of(chance, name, operator))


def random_order(chance: Random) -> tuple[Sort, ...]:
    """Return up to three sort keys in any direction."""
    ordered = [name for name, field in _FIELDS.fields.items() if not field.is_list]
    names = chance.sample(ordered, chance.choice([0, 1, 1, 2, 3]))
    return tuple(Sort(_FIELDS.fields[name], chance.random() < 0.5) for name in names)


def _random_value(chance: Random, name: str) -> Any:
    if name == "pet":
        return _random_pet(chance)
    if name == "pets":
        return [_random_pet(chance) for _ in range(chance.randrange(3))]
    if name == "place":
        outer, inner = (Place(city=chance.choice(_TEXTS), labels=_sample_values(chance, "text")) for _ in range(2))
        return outer.model_copy(update={"within": inner if chance.random() < 0.5 else None})
    if name not in _SIMILAR_TEXTS:
        return chance.choice(_VALUES[name])
    return _sample_values(chance, name) + [None] * (name == "texts" and chance.random() < 0.3)


def _sample_values(chance: Random, name: str) -> list[Any]:
    """Return up to three values, possibly repeated, or none."""
    return chance.choices(_VALUES[name], k=chance.randrange(4))


def _random_pet(chance: Random) -> Cat | Dog:
    name = chance.choice(_TEXTS)
    return (
        Dog(name=name) if chance.random() < 0.5 else Cat(name=name or None, lives=chance.choice(_VALUES["pet.lives"]))
    )


def _terms_of(chance: Random, name: str, operator: Operator) -> Any:
    value = chance.choice(_VALUES[name])
    match _FIELDS.operators[name][operator].takes:
        case Operand.flag:
            return chance.random() < 0.5
        case Operand.pattern:
            return chance.choice(_PATTERNS)
        case Operand.text:
            return chance.choice(["", "a", "A", "r0", ":1", "SS", "ß", "I", "\u0301", str(value)])
        case Operand.pair:
            return [value, chance.choice(_VALUES[name])]
        case Operand.values | Operand.items:
            return [value, chance.choice(_VALUES[name])]
    return value
