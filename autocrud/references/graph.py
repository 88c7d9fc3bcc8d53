"""Which models' resources refer to which, and how."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from autocrud.errors import ConfigurationError
from autocrud.query.conditions import Query, Term
from autocrud.query.operators import Operator
from autocrud.schema.column_types import ColumnKind, IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.markers import OnDelete, Ref
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Page


@dataclass(frozen=True, eq=False, slots=True)
class ModelNode:
    """One model, and where its resources are."""

    spec: ModelSpec[Any]
    storage: IStorage

    @property
    def name(self) -> str:
        """The model's."""
        return self.spec.name


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """A field by which resources of one model, the source, refer to those of another, or of the same.

    Attributes:
        number: of the field, among the source's index fields.
        shows_target: whether readers of the source may see what it refers to, and ask for it.
        shows_source: whether readers of the target may see what refers to it.
    """

    source: ModelNode
    target: ModelNode
    number: int
    field: IndexField
    ref: Ref
    shows_target: bool
    shows_source: bool

    def ids(self, index: Sequence[IndexValue]) -> tuple[str, ...]:
        """The ids that a resource of the source refers to, from its index values."""
        value = index[self.number] if index else None
        listed = value if isinstance(value, tuple) else (value,)
        return tuple(item for item in listed if isinstance(item, str))

    def to(self, resource_ids: Iterable[str]) -> Term:
        """Resources of the source that refer to one of these."""
        return Term(self.field, Operator.contains_any if self.field.is_list else Operator.in_, tuple(resource_ids))

    async def referrers(self, resource_ids: Sequence[str], limit: int) -> Page:
        """Some live resources of the source that refer to one of these, as of now."""
        # Where the storage may answer from a while ago, this brings it up to now.
        await self.source.storage.get(resource_ids[0], current=True)
        return await self.source.storage.search(Query(self.to(resource_ids), limit=limit))

    def released(self, data: Any, gone: AbstractSet[str]) -> Any:
        """The data of a resource of the source without these: null in their place, or their items left out."""
        return _released(data, self.field.path, gone)


class Graph:
    """The models of one service, and the references between them.

    Args:
        shows: whether readers of one model, the first, may see another one through a reference.

    Attributes:
        unknown: the references to models that are not there, for people.

    Raises:
        ConfigurationError: a field cannot be a reference of its kind.
    """

    def __init__(self, nodes: Sequence[ModelNode], shows: Callable[[Ref, str, str], bool] = lambda *_: True) -> None:
        self.nodes: Mapping[str, ModelNode] = {node.name: node for node in nodes}
        self.unknown: list[str] = []
        self._from: dict[str, list[Reference]] = {name: [] for name in self.nodes}
        self._to: dict[str, list[Reference]] = {name: [] for name in self.nodes}
        for node in nodes:
            for number, field in enumerate(node.spec.index_fields):
                if field.ref is not None:
                    _check(node.spec, field, field.ref)
                    self._add(node, number, field, field.ref, shows)
        self._restricted = self._lead_to_restrict()

    def outgoing(self, model: str) -> Sequence[Reference]:
        """The references of a model's resources to others."""
        return self._from.get(model, ())

    def incoming(self, model: str) -> Sequence[Reference]:
        """The references of others to a model's resources."""
        return self._to.get(model, ())

    def has_on_delete_actions(self, model: str) -> bool:
        """Whether others may follow where a resource of this model goes."""
        return any(reference.ref.on_delete is not OnDelete.dangling for reference in self.incoming(model))

    def leads_to_restrict(self, model: str) -> bool:
        """Whether a delete in this model may be refused for a reference to it, or to what it would take with it."""
        return model in self._restricted

    def _add(
        self, node: ModelNode, number: int, field: IndexField, ref: Ref, shows: Callable[[Ref, str, str], bool]
    ) -> None:
        target = self.nodes.get(ref.model)
        if target is None:
            known = ", ".join(self.nodes)
            self.unknown.append(
                f"{node.spec.type_name}.{field.name} refers to {ref.model!r}, which is no model; these are: {known}"
            )
            return
        forth, back = shows(ref, node.name, target.name), shows(ref, target.name, node.name)
        reference = Reference(node, target, number, field, ref, forth, back)
        self._from[node.name].append(reference)
        self._to[target.name].append(reference)

    def _lead_to_restrict(self) -> set[str]:
        found = {name for name, references in self._to.items() if _any(references, OnDelete.restrict)}
        waiting = list(found)
        while waiting:
            for reference in self.outgoing(waiting.pop()):
                if reference.ref.on_delete is OnDelete.cascade and reference.target.name not in found:
                    found.add(reference.target.name)
                    waiting.append(reference.target.name)
        return found


def _any(references: Iterable[Reference], on_delete: OnDelete) -> bool:
    return any(reference.ref.on_delete is on_delete for reference in references)


def _check(spec: ModelSpec[Any], field: IndexField, ref: Ref) -> None:
    if field.kind is not ColumnKind.text:
        raise ConfigurationError(f"{spec.type_name}.{field.name} cannot be a reference: an id is a text")
    if ref.on_delete is OnDelete.set_null and not field.is_list and not _accepts_null(field):
        raise ConfigurationError(f"{spec.type_name}.{field.name} cannot be null, as on_delete=set_null would make it")


def _accepts_null(field: IndexField) -> bool:
    try:
        field.adapter.validate_python(None)
    except ValidationError:
        return False
    return True


def _released(value: Any, path: Sequence[str], gone: AbstractSet[str]) -> Any:
    if isinstance(value, list):
        if path:
            return [_released(item, path, gone) for item in value]
        return [item for item in value if not (isinstance(item, str) and item in gone)]
    if not path:
        return None if isinstance(value, str) and value in gone else value
    if isinstance(value, dict) and path[0] in value:
        return {**value, path[0]: _released(value[path[0]], path[1:], gone)}
    return value
