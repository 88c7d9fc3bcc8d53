"""Registry: the registered models of a service, with their storages and managers."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autocrud.errors import ConfigurationError
from autocrud.manager.manager import ResourceManager
from autocrud.references.dangling import DanglingReference, find_dangling
from autocrud.references.graph import Graph, ModelNode
from autocrud.routes.route_table import check_families
from autocrud.schema.markers import Ref
from autocrud.schema.model_names import fold_name
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory


@dataclass
class Registration:
    """A registered model. Its manager is None until the storage factory is known.

    Attributes:
        storage: storage or storage factory of this model alone; None for the default factory.
        families: route families of the model.
        dependencies: FastAPI dependencies that guard every route of the model.
    """

    spec: ModelSpec[Any]
    storage: IStorageFactory | IStorage | None
    families: frozenset[str]
    dependencies: Sequence[Any]
    require_if_match: bool
    manager: ResourceManager[Any] | None = None


class Registry:
    """The models of one `AutoCRUD`.

    Args:
        storage_factory: default storage factory, for models that do not name their own storage.
        limits: arguments of each manager.

    Attributes:
        models: registrations by the name of the model, in order of registration.
    """

    def __init__(self, storage_factory: IStorageFactory | None, **limits: Any) -> None:
        self.storage_factory = storage_factory
        self.models: dict[str, Registration] = {}
        self._limits = limits
        self._graph = Graph(is_visible=self._is_visible)

    def add(
        self,
        spec: ModelSpec[Any],
        storage: IStorageFactory | IStorage | None,
        routes: Collection[str] | None,
        dependencies: Sequence[Any],
        require_if_match: bool,
    ) -> None:
        """Register a model.

        Raises:
            ConfigurationError: the name is taken, or a route family does not exist.
        """
        self._refuse_taken_names(spec)
        families = check_families(spec.type_name, routes)
        self.models[spec.name] = Registration(spec, storage, families, tuple(dependencies), require_if_match)

    def change_storage_factory(self, storage_factory: IStorageFactory) -> None:
        """Set the default storage factory.

        Raises:
            ConfigurationError: a manager is on the default factory before this one.
        """
        if storage_factory is not self.storage_factory:
            for registration in self.models.values():
                if registration.storage is None and registration.manager is not None:
                    raise ConfigurationError(
                        f"the storage factory cannot change: the manager of {registration.spec.type_name} uses the"
                        " factory before this one; call configure before manager",
                        argument="storage_factory",
                    )
        self.storage_factory = storage_factory

    def include(self, other: "Registry") -> bool:
        """Register the models of another registry. Return True if a model has a storage that `other` names.

        Raises:
            ConfigurationError: a name is taken.
        """
        has_storage = False
        for registration in other.models.values():
            self._refuse_taken_names(registration.spec)
            storage = registration.storage or other.storage_factory
            has_storage = has_storage or storage is not None
            self.models[registration.spec.name] = replace(registration, storage=storage, manager=None)
        return has_storage

    def manager(self, model: type[Any] | str) -> ResourceManager[Any]:
        """Return the manager of a model, which is given by its class or its name.

        Raises:
            LookupError: the model is not registered.
            ConfigurationError: a registered model has no storage yet, or a field cannot be a reference.
        """
        for registration in self.models.values():
            if model in (registration.spec.model, registration.spec.name):
                return registration.manager or self._build_managers()[registration.spec.name]
        raise LookupError(f"{model!r} is not a registered model")

    def all_managers(self) -> list[ResourceManager[Any]]:
        """Return the managers of all models, in order of registration. No model may be added afterwards.

        Raises:
            ConfigurationError: a model has no storage, or a reference names an unknown model.
        """
        managers = self._build_managers()
        if self._graph.unknown_models:
            raise ConfigurationError(self._graph.unknown_models[0])
        return list(managers.values())

    def update_reference_targets(self) -> None:
        """Tell each model the folders of its references' targets, once the storages are open."""
        self._graph.update_reference_targets()

    def find_dangling(self) -> AsyncGenerator[DanglingReference, None]:
        """Yield the references of all models whose target is missing or deleted."""
        self.all_managers()
        return find_dangling(self._graph)

    def factories(self) -> dict[IStorageFactory, list[ModelSpec[Any]]]:
        """Return each factory in use, with its models."""
        found: dict[IStorageFactory, list[ModelSpec[Any]]] = {}
        for registration in self.models.values():
            factory = registration.storage or self.storage_factory
            if isinstance(factory, IStorageFactory):
                found.setdefault(factory, []).append(registration.spec)
        return found

    def _build_managers(self) -> dict[str, ResourceManager[Any]]:
        """Build the managers of newly registered models, and return all managers by the names of the models.

        Every storage and the graph are complete before the first manager is built.
        """
        new = [registration for registration in self.models.values() if registration.manager is None]
        nodes = [ModelNode(registration.spec, self._build_storage(registration)) for registration in new]
        self._graph.add(nodes)
        for registration, node in zip(new, nodes, strict=True):
            registration.manager = ResourceManager(registration.spec, node.storage, graph=self._graph, **self._limits)
        return {name: item.manager for name, item in self.models.items() if item.manager is not None}

    def _build_storage(self, registration: Registration) -> IStorage:
        """Return the storage of a model. A model without a storage gets one from the default factory."""
        storage = registration.storage or self.storage_factory
        if storage is None:
            name = registration.spec.type_name
            raise ConfigurationError(f"{name} has no storage: give AutoCRUD a factory, or the model a storage")
        return storage if isinstance(storage, IStorage) else storage.build(registration.spec)

    def _is_visible(self, ref: Ref, reader: str, target: str) -> bool:
        """Return True if every dependency that guards `target` also guards `reader`, or the reference sets `expand`."""
        reading, seen_model = self.models[reader], self.models[target]
        guarded = all(dependency in reading.dependencies for dependency in seen_model.dependencies)
        return ref.expand or (guarded and "read" in seen_model.families)

    def _refuse_taken_names(self, spec: ModelSpec[Any]) -> None:
        """Refuse a name of another model, and a former name that another model has or had."""
        for other in (registration.spec for registration in self.models.values()):
            if fold_name(spec.name) == fold_name(other.name):
                raise ConfigurationError(f"{spec.type_name}: the name {spec.name!r} is taken by another model")
            for model, rival in ((spec, other), (other, spec)):
                rival_names = {fold_name(name) for name in (rival.name, *rival.formerly)}
                if former := next((name for name in model.formerly if fold_name(name) in rival_names), None):
                    raise ConfigurationError(
                        f"{model.type_name}: formerly= has {former!r}, which is a name of the model {rival.type_name};"
                        " data can belong to one model only"
                    )
