"""Contracts: the rules of a model that each process must know before it may write to the model."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from autocrud.schema.markers import Ref
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.former_names import former_names
from autocrud.storage.ports.claims import unique_set_of


class Rule(NamedTuple):
    """A rule that the records of a model must follow, so that the store can enforce it.

    Attributes:
        kind: `unique` or `reference`.
        names: name of the unique set, as in `Claim`, or of the reference field; then names of the field in older schema
            versions, whose references are as good.
        on_delete: value of the `OnDelete` marker of a reference field; "" for a unique set.
        must_exist: True if a new value of a reference field needs a live target.
    """

    kind: str
    names: tuple[str, ...]
    on_delete: str = ""
    must_exist: bool = False

    def __str__(self) -> str:
        if self.kind == "unique":
            return f"unique ({self.names[0].replace(',', ', ')})"
        return f"reference {self.names[0]} with {self.on_delete}"

    def is_like(self, other: "Rule") -> bool:
        """Return True if records that follow the other rule follow this rule, too."""
        return (self.kind, *self[2:]) == (other.kind, *other[2:]) and not set(self.names).isdisjoint(other.names)


NO_RULES: frozenset[Rule] = frozenset()


@dataclass(frozen=True, slots=True)
class Contract:
    """The rules of a model as of a schema version. The newest contract of a model stands in the store.

    Attributes:
        model: folder of the model.
        number: number of the contract among those of the model, beginning with 1. A contract with the number 0 is never
            accepted: its refusal tells the contract in the store.
        index: signature of the index columns.
    """

    model: str
    number: int
    schema_version: int
    rules: frozenset[Rule] = NO_RULES
    index: str = ""
    _json: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = {
            "number": self.number,
            "schema_version": self.schema_version,
            "rules": sorted(self.rules),
            "index": self.index,
        }
        object.__setattr__(self, "_json", to_json(fields))

    def to_json(self) -> bytes:
        """Return the JSON of the contract without the model."""
        return self._json

    def rules_beyond(self, rules: frozenset[Rule]) -> frozenset[Rule]:
        """Return the rules of the contract that are not among these."""
        return _difference(self.rules, rules)

    @staticmethod
    def from_json(model: str, content: bytes | str) -> "Contract":
        """Return the contract of a model from its JSON."""
        return Contract.from_fields(model, from_json(content))

    @staticmethod
    def from_fields(model: str, fields: dict[str, Any]) -> "Contract":
        """Return the contract of a model from its decoded JSON."""
        return Contract(model, **fields | {"rules": _read_rules(fields["rules"])})


def rules_of(spec: ModelSpec[Any]) -> frozenset[Rule]:
    """Return the rules of a model. The store of the targets does not count: it can differ between processes."""
    unique_sets = {Rule("unique", (unique_set_of(unique),)) for unique in spec.unique_constraints}
    references = {
        Rule(
            "reference",
            (item.name, *former_names(spec.schema, item.name)),
            item.ref.on_delete.value,
            item.ref.must_exist,
        )
        for item in spec.index_fields
        if item.ref is not None
    }
    return frozenset(unique_sets | references)


@lru_cache(maxsize=1024)
def _difference(rules: frozenset[Rule], subtracted: frozenset[Rule]) -> frozenset[Rule]:
    return frozenset(rule for rule in rules if not any(map(rule.is_like, subtracted)))


def _read_rules(rules: Iterable[Sequence[Any]]) -> frozenset[Rule]:
    return frozenset(Rule(kind, tuple(names), *rest) for kind, names, *rest in rules)


def _reference_rule(ref: Ref, names: tuple[str, ...]) -> Rule:
    return Rule("reference", names, ref.on_delete.value, ref.must_exist)


def describe_rules(rules: AbstractSet[Rule]) -> str:
    """Return the rules for a message."""
    return ", ".join(map(str, sorted(rules)))
