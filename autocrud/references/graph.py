"""Graph of references: the models of one service, and the fields by which their resources refer to each other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from autocrud.errors import ConfigurationError
from autocrud.query.conditions import Query, Term
from autocrud.query.operators import Operator
from autocrud.query.resolver import Resolver
from autocrud.resource import CommitKind
from autocrud.schema.column_types import ColumnKind, IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.markers import OnDelete, Ref
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.transactions import TransactionStore
from autocrud.storage.ports.types import Page

REMOVING_KINDS = frozenset((CommitKind.delete, CommitKind.purge))
_DATA_KINDS = frozenset((CommitKind.create, CommitKind.update, CommitKind.modify, CommitKind.switch))


@dataclass(frozen=True, eq=False, slots=True)
class ModelNode:
    """A model of the graph, with the storage of its resources."""

    spec: ModelSpec[Any]
    storage: IStorage

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.spec.name


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """A field by which resources of a source model refer to resources of a target model, or of the same model.

    Attributes:
        number: position of the field among the index fields of the source.
        shows_target: readers of the source may expand the field and filter through it.
        shows_source: readers of the target may list its referrers by this field.
    """

    source: ModelNode
    target: ModelNode
    number: int
    field: IndexField
    ref: Ref
    shows_target: bool
    shows_source: bool

    @property
    def is_stored(self) -> bool:
        """True if both models are in one store, whose commits judge the reference."""
        return self.source.storage.store is not None and self.source.storage.store is self.target.storage.store

    @property
    def is_dangling(self) -> bool:
        """True if a delete of the target leaves the reference as it is."""
        return self.ref.on_delete is OnDelete.dangling

    def ids(self, index: Sequence[IndexValue]) -> tuple[str, ...]:
        """Return the ids that a resource of the source refers to, taken from its index values."""
        value = index[self.number] if index else None
        items = value if isinstance(value, tuple) else (value,)
        return tuple(item for item in items if isinstance(item, str))

    def refers_to(self, resource_ids: Iterable[str]) -> Term:
        """Return the condition that selects resources of the source that refer to one of these ids."""
        return Term(self.field, Operator.contains_any if self.field.is_list else Operator.in_, tuple(resource_ids))

    async def find_referrers(self, resource_ids: Sequence[str], limit: int) -> Page:
        """Return at most `limit` live resources of the source that refer to one of these ids, as of now."""
        # A storage may answer searches from a stale index; a current read brings the index up to date.
        await self.source.storage.get(resource_ids[0], current=True)
        return await self.source.storage.search(Query(self.refers_to(resource_ids), limit=limit))

    async def refresh_index(self, resource_id: str) -> None:
        """Bring the index of the source up to date, so that a search finds all of its referrers as of now.

        Args:
            resource_id: any id. A storage may answer searches from a stale index, but a current read from none.
        """
        await self.source.storage.get(resource_id, current=True)
        await self.source.storage.index_other_versions()

    def remove_ids(self, data: Any, ids: AbstractSet[str]) -> Any:
        """Return the data of a source resource without these ids: null in a single field, no item in a list."""
        return _remove_ids(data, self.field.path, ids)


class Graph:
    """The models of one service, and the references between them.

    A service may add models after it has asked for a manager. All managers share one graph, so that each of them
    enforces the references of models that are added later.

    Args:
        is_visible: `is_visible(ref, reader, target)` tells if readers of the model `reader` may see resources of
            the model `target` through the reference.

    Attributes:
        nodes: the models by name.
        unknown_models: an error message for each reference to a model that is not in the graph.
        planned_kinds: by the name of each model, the kinds of writes that need a plan, because they may have
            dependents, or references between stores to check. The commit alone judges the other writes.

    Raises:
        ConfigurationError: a field cannot be a reference of its kind.
    """

    def __init__(
        self, nodes: Iterable[ModelNode] = (), is_visible: Callable[[Ref, str, str], bool] = lambda *_: True
    ) -> None:
        self._is_visible = is_visible
        self.nodes: Mapping[str, ModelNode] = {}
        self.unknown_models: Sequence[str] = ()
        self.planned_kinds: Mapping[str, frozenset[CommitKind]] = {}
        self._references: Mapping[tuple[str, int], Reference] = {}
        self.add(nodes)

    def add(self, nodes: Iterable[ModelNode]) -> None:
        """Add models, and the references from and to these models.

        Raises:
            ConfigurationError: a field cannot be a reference of its kind; the graph is unchanged.
        """
        all_nodes = {**self.nodes, **{node.name: node for node in nodes}}
        references, unknown = self._connect(all_nodes)
        resolvers = {name: Resolver(node.spec) for name, node in all_nodes.items()}
        for (source, _), reference in references.items():
            if reference.shows_target:
                resolvers[source].targets[reference.field.name] = Resolver(reference.target.spec)
        # Operations in progress hold the former collections, so these are replaced and never changed in place.
        self.nodes, self._references, self._resolvers = all_nodes, references, resolvers
        self.unknown_models = unknown
        self._outgoing = {
            name: [item for item in references.values() if item.source is node] for name, node in all_nodes.items()
        }
        self._incoming = {
            name: [item for item in references.values() if item.target is node] for name, node in all_nodes.items()
        }
        self._restricted = self._find_restricted()
        self.planned_kinds = {name: self._find_planned_kinds(name) for name in all_nodes}
        self.update_reference_targets()

    def update_reference_targets(self) -> None:
        """Tell all models in which folders the targets of their references are.

        Call it after storages opened, because an opening storage may choose another folder. References between stores
        are left out, because no commit judges them.
        """
        for reference in self._references.values():
            if reference.is_stored:
                reference.source.spec.reference_targets[reference.number] = reference.target.spec.folder

    def node_of_folder(self, store: TransactionStore | None, folder: str) -> ModelNode | None:
        """Return the model of a folder of a store; None if this process does not know the model."""
        nodes = (node for node in self.nodes.values() if node.spec.folder == folder and node.storage.store is store)
        return next(nodes, None)

    def outgoing(self, model: str) -> Sequence[Reference]:
        """Return the references from resources of the model."""
        return self._outgoing.get(model, ())

    def incoming(self, model: str) -> Sequence[Reference]:
        """Return the references to resources of the model."""
        return self._incoming.get(model, ())

    def resolver(self, model: str) -> Resolver:
        """Return the resolver of the model's fields, with the fields of the targets that its readers may see."""
        return self._resolvers[model]

    def has_on_delete_actions(self, model: str) -> bool:
        """Return True if the delete of a resource of this model may change or delete its referrers."""
        return any(reference.ref.on_delete is not OnDelete.dangling for reference in self.incoming(model))

    def leads_to_restrict(self, model: str) -> bool:
        """Return True if a delete in this model may be refused, because of its referrers or of cascaded deletes."""
        return model in self._restricted

    def _connect(self, nodes: Mapping[str, ModelNode]) -> tuple[dict[tuple[str, int], Reference], list[str]]:
        """Return the references between these nodes, and a message for each reference to an unknown model."""
        references: dict[tuple[str, int], Reference] = {}
        unknown: list[str] = []
        for source in nodes.values():
            for number, field in enumerate(source.spec.index_fields):
                if field.ref is None:
                    continue
                _check_field(source.spec, field, field.ref)
                target = nodes.get(field.ref.model)
                if target is None:
                    label = f"{source.spec.type_name}.{field.name} refers to {field.ref.model!r}"
                    unknown.append(f"{label}, which is not a registered model; registered models: {', '.join(nodes)}")
                    continue
                key = (source.name, number)
                # References are compared by identity: an operation in progress and a later one need the same object.
                references[key] = self._references.get(key) or self._reference(source, target, number, field, field.ref)
        return references, unknown

    def _reference(self, source: ModelNode, target: ModelNode, number: int, field: IndexField, ref: Ref) -> Reference:
        shows_target = self._is_visible(ref, source.name, target.name)
        shows_source = self._is_visible(ref, target.name, source.name)
        return Reference(source, target, number, field, ref, shows_target, shows_source)

    def _find_planned_kinds(self, model: str) -> frozenset[CommitKind]:
        kinds = set(REMOVING_KINDS) if self.has_on_delete_actions(model) else set()
        outgoing = self.outgoing(model)
        if _has_action(outgoing, OnDelete.set_null):
            kinds.add(CommitKind.restore)
        if any(not item.is_stored and item.ref.must_exist for item in outgoing):
            kinds |= {CommitKind.restore, *_DATA_KINDS}
        return frozenset(kinds)

    def _find_restricted(self) -> set[str]:
        restricted = {name for name in self.nodes if _has_action(self.incoming(name), OnDelete.restrict)}
        pending = list(restricted)
        while pending:
            for reference in self.outgoing(pending.pop()):
                if reference.ref.on_delete is OnDelete.cascade and reference.target.name not in restricted:
                    restricted.add(reference.target.name)
                    pending.append(reference.target.name)
        return restricted


def _has_action(references: Iterable[Reference], on_delete: OnDelete) -> bool:
    return any(reference.ref.on_delete is on_delete for reference in references)


def _check_field(spec: ModelSpec[Any], field: IndexField, ref: Ref) -> None:
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


def _remove_ids(value: Any, path: Sequence[str], ids: AbstractSet[str]) -> Any:
    if isinstance(value, list):
        if path:
            return [_remove_ids(item, path, ids) for item in value]
        return [item for item in value if not (isinstance(item, str) and item in ids)]
    if not path:
        return None if isinstance(value, str) and value in ids else value
    if isinstance(value, dict) and path[0] in value:
        return {**value, path[0]: _remove_ids(value[path[0]], path[1:], ids)}
    return value
