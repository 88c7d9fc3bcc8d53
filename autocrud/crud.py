"""AutoCRUD: registers models and adds their routes to a FastAPI application."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

from fastapi import FastAPI
from fastapi.params import Depends

from autocrud.errors import AutoCRUDError, ConfigurationError
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS
from autocrud.manager.health import check_backends
from autocrud.manager.maintenance import maintain
from autocrud.manager.manager import KEY_SECONDS, ResourceManager
from autocrud.pages.data_view import add_pages
from autocrud.references.graph import Graph, ModelNode
from autocrud.resource import Retention, RevisionStatus
from autocrud.routes.apply_checks import check_application, check_prefix
from autocrud.routes.mount import Mount
from autocrud.routes.openapi.filter_parameters import check_filter_style
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.request.current_user import UserDependency, anonymous
from autocrud.routes.response.problems import answer_problem
from autocrud.routes.route_table import check_families, operations
from autocrud.schema.markers import Ref
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.schema import Schema
from autocrud.storage.ports.storage import IStorage, IStorageFactory

T = TypeVar("T")

MAX_BODY_BYTES = 4 * 1024 * 1024
HOUSEKEEPING_SECONDS = 600.0


@dataclass
class _Registration:
    """A registered model. Its manager is None until the storage factory is known."""

    spec: ModelSpec[Any]
    storage: IStorageFactory | IStorage | None
    families: frozenset[str]
    dependencies: Sequence[Depends]
    require_if_match: bool
    manager: ResourceManager[Any] | None = None


class AutoCRUD:
    """The registry of a service's models.

    Args:
        storage_factory: default storage factory, for models that do not name their own storage.
        max_body_bytes: size limit of a request body, in bytes; longer bodies are refused with 413.
        current_user: FastAPI dependency that returns the user as text, or None, for `created_by` and `updated_by`.
        idempotency_seconds: lifetime of an idempotency key, in seconds.
        housekeeping_seconds: pause between two rounds of maintenance, in seconds.
        max_blob_bytes: size limit of a blob, in bytes; longer uploads are refused with 413.
        upload_seconds: lifetime of an upload session, in seconds.
        redirect_seconds: lifetime of a blob's S3 URL for `redirect=true`, in seconds; 0 disables redirects.
        openapi_filters: form of the filters in OpenAPI. `compact` has a parameter per index field and one object of
            all operators per model, `full` a parameter per operator, `none` no filters. Requests are not affected.
        data_view: answer browsers (`Accept: text/html`) with pages.

    Raises:
        ConfigurationError: `openapi_filters` has another value.
    """

    def __init__(
        self,
        *,
        storage_factory: IStorageFactory | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        current_user: UserDependency = anonymous,
        idempotency_seconds: float = KEY_SECONDS,
        housekeeping_seconds: float = HOUSEKEEPING_SECONDS,
        max_blob_bytes: int = MAX_BLOB_BYTES,
        upload_seconds: float = UPLOAD_SECONDS,
        redirect_seconds: int = 0,
        openapi_filters: Literal["compact", "full", "none"] = "compact",
        data_view: bool = True,
    ) -> None:
        self._storage_factory = storage_factory
        self._max_body_bytes = max_body_bytes
        self._current_user = current_user
        self._redirect_seconds = redirect_seconds
        self._filter_style = check_filter_style(openapi_filters)
        self._data_view = data_view
        self._limits: dict[str, Any] = {
            "key_seconds": idempotency_seconds,
            "max_blob_bytes": max_blob_bytes,
            "upload_seconds": upload_seconds,
        }
        self._housekeeping_seconds = housekeeping_seconds
        self._models: dict[str, _Registration] = {}
        self._graph = Graph(is_visible=self._is_visible)
        self._applied = False

    def configure(
        self,
        *,
        storage_factory: IStorageFactory | None = None,
        max_body_bytes: int | None = None,
        current_user: UserDependency | None = None,
    ) -> None:
        """Change arguments of the constructor. None leaves an argument unchanged.

        Raises:
            ConfigurationError: `apply` was called before.
        """
        self._refuse_after_apply("configure")
        self._storage_factory = storage_factory or self._storage_factory
        self._max_body_bytes = self._max_body_bytes if max_body_bytes is None else max_body_bytes
        self._current_user = current_user or self._current_user

    def add_model(
        self,
        model: type[Any],
        *,
        name: str | None = None,
        storage: IStorageFactory | IStorage | None = None,
        indexed_fields: Sequence[str] = (),
        default_status: RevisionStatus = RevisionStatus.stable,
        retention: Retention | None = None,
        unique_together: Sequence[Sequence[str]] = (),
        temporal: bool = False,
        schema: Schema | int = 1,
        require_if_match: bool = False,
        routes: Collection[str] | None = None,
        dependencies: Sequence[Depends] = (),
    ) -> None:
        """Register a model: a Pydantic model, a dataclass or a TypedDict.

        Args:
            name: path segment of the routes; by default the class name in kebab case.
            storage: storage factory, or a storage, for this model alone.
            indexed_fields: index fields in addition to the fields annotated with `Index()` or `Unique()`.
            default_status: status of new revisions; a draft may be edited in place.
            retention: rule for the revisions to keep; None keeps all revisions.
            unique_together: unique constraints over several index fields, as in `[("title", "year")]`.
            temporal: keep the index values of every commit, so that lists with `at` can be filtered and sorted.
            schema: schema version of the model, with the steps from older versions, as in
                `Schema(2).step(1, 2, rename("title", "headline"))`.
            require_if_match: refuse writes without `If-Match` (or `If-None-Match: *`) with 428.
            routes: route families of the model, from `autocrud.routes.FAMILIES`; all families by default.
            dependencies: FastAPI dependencies that guard every route of the model.

        Raises:
            ConfigurationError: the model cannot be stored, the name is taken, a field cannot be indexed or be unique,
                a schema version has no steps or ambiguous ones, or a route family does not exist.
        """
        self._refuse_after_apply("add_model")
        options: Any = {
            "default_status": default_status,
            "retention": retention,
            "temporal": temporal,
            "schema": schema,
        }
        spec: ModelSpec[Any] = ModelSpec(
            model, name=name, indexed_fields=indexed_fields, unique_together=unique_together, **options
        )
        self._refuse_taken_name(spec)
        families = check_families(spec.type_name, routes)
        self._models[spec.name] = _Registration(spec, storage, families, tuple(dependencies), require_if_match)

    def apply(self, app: FastAPI, *, prefix: str = "") -> None:
        """Add the routes to the application. The application's lifespan opens and closes the storages.

        A route of the application with the same path and method takes precedence, even if it is added later.

        Args:
            prefix: the start of the path of every model, such as `/v1`.

        Raises:
            ConfigurationError: a model has no storage, a reference names an unknown model, this is a second call, or an
                argument is wrong.
        """
        self._refuse_after_apply("apply")
        check_application(app)
        check_prefix(prefix)
        managers = self._build_all_managers()
        self._applied = True
        mount = Mount(app, prefix)
        for registration, manager in zip(self._models.values(), managers, strict=True):
            spec = registration.spec
            routes = ModelRoutes(
                manager=manager,
                path=f"{prefix}/{spec.name}",
                max_body_bytes=self._max_body_bytes,
                require_if_match=registration.require_if_match,
                current_user=self._current_user,
                redirect_seconds=self._redirect_seconds,
                filter_style=self._filter_style,
            )
            served = operations(routes, registration.families)
            for operation in add_pages(routes, served) if self._data_view else served:
                mount.add(routes, operation, registration.dependencies)
            mount.add_tag(spec)
        mount.check_dependencies()
        mount.order_routes()
        app.add_exception_handler(AutoCRUDError, answer_problem)
        inner: Any = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(application: Any) -> AsyncIterator[Mapping[str, Any] | None]:
            mount.order_routes()
            async with self.running(), inner(application) as state:
                yield state

        app.router.lifespan_context = lifespan  # type: ignore[assignment]  # FastAPI assigns merged lifespans, too

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the registered models, in order of registration."""
        return tuple(self._models)

    @overload
    def manager(self, model: type[T]) -> ResourceManager[T]: ...

    @overload
    def manager(self, model: str) -> ResourceManager[Any]: ...

    def manager(self, model: type[Any] | str) -> ResourceManager[Any]:
        """Return the manager of a model, which is given by its class or its name. Every call returns the same object.

        The manager enforces the references of models that are registered later, too.

        Raises:
            LookupError: the model is not registered.
            ConfigurationError: a registered model has no storage yet, or a field cannot be a reference.
        """
        for registration in self._models.values():
            if model in (registration.spec.model, registration.spec.name):
                return registration.manager or self._build_managers()[registration.spec.name]
        raise LookupError(f"{model!r} is not a registered model")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the storages for the duration of the context, and run the maintenance. For scripts without `apply`.

        Raises:
            ConfigurationError: a storage cannot be used with its settings, or a reference names an unknown model.
        """
        managers = self._build_all_managers()
        async with AsyncExitStack() as stack:
            for factory in self._factories():
                stack.push_async_callback(factory.close)
                await factory.open()
            for manager in managers:
                stack.push_async_callback(manager.node.storage.close)
                await manager.node.storage.open()
            maintenance = asyncio.create_task(maintain(managers, self._housekeeping_seconds))
            try:
                yield
            finally:
                maintenance.cancel()
                await asyncio.wait([maintenance])
                await asyncio.gather(*(manager.references.drain() for manager in managers))

    async def check(self, *, patience: float = 5.0) -> dict[str, str | None]:
        """Ask each backend in use if it can serve. Return, by name of the backend, None or the reason of the failure.

        Args:
            patience: time limit for the answer of a backend, in seconds.
        """
        return await check_backends(self._factories(), patience)

    def _build_all_managers(self) -> list[ResourceManager[Any]]:
        """Return the managers of all models, in order of registration. No model may be added afterwards.

        Raises:
            ConfigurationError: a model has no storage, or a reference names an unknown model.
        """
        managers = self._build_managers()
        if self._graph.unknown_models:
            raise ConfigurationError(self._graph.unknown_models[0])
        return list(managers.values())

    def _build_managers(self) -> dict[str, ResourceManager[Any]]:
        """Build the managers of newly registered models, and return all managers by the names of the models.

        Every storage and the graph are complete before the first manager is built.
        """
        new = [registration for registration in self._models.values() if registration.manager is None]
        nodes = [ModelNode(registration.spec, self._build_storage(registration)) for registration in new]
        self._graph.add(nodes)
        for registration, node in zip(new, nodes, strict=True):
            registration.manager = ResourceManager(registration.spec, node.storage, graph=self._graph, **self._limits)
        return {name: item.manager for name, item in self._models.items() if item.manager is not None}

    def _build_storage(self, registration: _Registration) -> IStorage:
        """Return the storage of a model. A model without a storage gets one from the default factory."""
        storage = registration.storage or self._storage_factory
        if storage is None:
            name = registration.spec.type_name
            raise ConfigurationError(f"{name} has no storage: give AutoCRUD a factory, or the model a storage")
        return storage if isinstance(storage, IStorage) else storage.build(registration.spec)

    def _is_visible(self, ref: Ref, reader: str, target: str) -> bool:
        """Return True if every dependency that guards `target` also guards `reader`, or the reference sets `expand`."""
        reading, seen_model = self._models[reader], self._models[target]
        guarded = all(dependency in reading.dependencies for dependency in seen_model.dependencies)
        return ref.expand or (guarded and "read" in seen_model.families)

    def _factories(self) -> list[IStorageFactory]:
        """Return each factory in use once."""
        used = [registration.storage or self._storage_factory for registration in self._models.values()]
        return list(dict.fromkeys(factory for factory in used if isinstance(factory, IStorageFactory)))

    def _refuse_taken_name(self, spec: ModelSpec[Any]) -> None:
        # Names become tables and folders, where "-" equals "_" and case does not count.
        if any(_fold_name(spec.name) == _fold_name(name) for name in self._models):
            raise ConfigurationError(f"{spec.type_name}: the name {spec.name!r} is taken by another model")

    def _refuse_after_apply(self, method: str) -> None:
        if self._applied:
            raise ConfigurationError(f"{method} was called after apply, when the routes exist already")


def _fold_name(name: str) -> str:
    return name.lower().replace("-", "_")
