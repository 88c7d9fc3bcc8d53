"""AutoCRUD: registers models and adds their routes to a FastAPI application."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar, overload

from fastapi import FastAPI
from fastapi.params import Depends

from autocrud.errors import AutoCRUDError, ConfigurationError
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS
from autocrud.manager.health import check_backends
from autocrud.manager.maintenance import maintain
from autocrud.manager.manager import KEY_SECONDS, ResourceManager
from autocrud.manager.schema_check.start_check import check_reaction
from autocrud.manager.transaction.retries import ATTEMPTS, Retries
from autocrud.manager.transaction.transaction import Transaction
from autocrud.pages.data_view import add_pages
from autocrud.references.dangling import DanglingReference
from autocrud.registration.registry import Registry
from autocrud.registration.start import opened
from autocrud.resource import Retention, RevisionStatus
from autocrud.routes.apply_checks import check_application, check_model_names, check_prefix
from autocrud.routes.endpoints.transaction import TransactionEndpoint
from autocrud.routes.guards import Guards
from autocrud.routes.mount import Mount
from autocrud.routes.openapi.filter_parameters import check_filter_style
from autocrud.routes.operation import MAX_PAGE_BYTES, ModelRoutes
from autocrud.routes.request.current_user import UserDependency, anonymous
from autocrud.routes.request.transaction_reader import ServedModel
from autocrud.routes.response.problems import answer_problem
from autocrud.routes.route_table import operations
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.schema import Schema
from autocrud.storage.ports.query_limit import QUERY_SECONDS
from autocrud.storage.ports.storage import IStorage, IStorageFactory

T = TypeVar("T")
R = TypeVar("R")

MAX_BODY_BYTES = 4 * 1024 * 1024
HOUSEKEEPING_SECONDS = 600.0


class AutoCRUD:
    """The registry of a service's models.

    Args:
        storage_factory: default storage factory, for models that do not name their own storage.
        max_body_bytes: size limit of a request body, in bytes; longer bodies are refused with 413.
        current_user: FastAPI dependency that returns the user as text, or None, for `created_by` and `updated_by`.
        idempotency_seconds: lifetime of an idempotency key, in seconds.
        housekeeping_seconds: pause between two rounds of maintenance, in seconds.
        max_blob_bytes: size limit of a blob, in bytes; longer uploads are refused with 413.
        upload_seconds: lifetime of an upload session, and of a blob that no resource refers to, in seconds.
        max_page_bytes: size of the data at which a page ends, in bytes; it has a next page then.
        query_seconds: time limit of each query of a request, in seconds; a longer one is cancelled, and is 422.
        redirect_seconds: lifetime of a blob's S3 URL for `redirect=true`, in seconds; 0 disables redirects.
        openapi_filters: form of the filters in OpenAPI. `compact` has a parameter per index field and one object of
            all operators per model, `full` a parameter per operator, `none` no filters. Requests are not affected.
        data_view: answer browsers (`Accept: text/html`) with pages.
        on_schema_change: `warn` logs at the start if a model no longer fits its stored data, and has no new schema
            version. `refuse` raises instead.

    Raises:
        ConfigurationError: `openapi_filters` or `on_schema_change` has another value.
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
        max_page_bytes: int = MAX_PAGE_BYTES,
        query_seconds: float = QUERY_SECONDS,
        redirect_seconds: int = 0,
        openapi_filters: Literal["compact", "full", "none"] = "compact",
        data_view: bool = True,
        on_schema_change: Literal["warn", "refuse"] = "warn",
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._current_user = current_user
        self._redirect_seconds = redirect_seconds
        self._max_page_bytes, self._query_seconds = max_page_bytes, query_seconds
        self._filter_style = check_filter_style(openapi_filters)
        self._data_view = data_view
        self._on_schema_change = check_reaction(on_schema_change)
        self._registry = Registry(
            storage_factory,
            key_seconds=idempotency_seconds,
            max_blob_bytes=max_blob_bytes,
            upload_seconds=upload_seconds,
        )
        self._retries = Retries()
        self._housekeeping_seconds = housekeeping_seconds
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
            ConfigurationError: `apply` was called before, or a manager is on another storage factory.
        """
        self._refuse_after_apply("configure")
        if storage_factory is not None:
            self._registry.change_storage_factory(storage_factory)
        self._max_body_bytes = self._max_body_bytes if max_body_bytes is None else max_body_bytes
        self._current_user = current_user or self._current_user

    def add_model(
        self,
        model: type[Any],
        *,
        name: str | None = None,
        formerly: Sequence[str] = (),
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
            formerly: former names of the model. The model takes over their data, which stay where they are.
            storage: storage factory, or a storage, for this model alone.
            indexed_fields: index fields in addition to the fields annotated with `Index()` or `Unique()`.
            default_status: status of new revisions; a draft may be edited in place.
            retention: rule for the revisions to keep; None keeps all revisions.
            unique_together: unique constraints over several index fields, as in `[("title", "year")]`.
            temporal: keep the index values of every commit, so that lists with `at` can be filtered and sorted.
            schema: schema version, with steps from older ones, as in `Schema(2).step(1, 2, rename("title", "name"))`.
            require_if_match: refuse writes without `If-Match` (or `If-None-Match: *`) with 428.
            routes: route families of the model, from `autocrud.routes.FAMILIES`; all families by default.
            dependencies: FastAPI dependencies that guard every route of the model.

        Raises:
            ConfigurationError: the model cannot be stored, the name is taken, a schema version has no steps or
                ambiguous ones, or another argument is wrong.
        """
        self._refuse_after_apply("add_model")
        fields: Any = {"indexed_fields": indexed_fields, "unique_together": unique_together, "schema": schema}
        options: Any = {"default_status": default_status, "retention": retention, "temporal": temporal}
        spec: ModelSpec[Any] = ModelSpec(model, name=name, formerly=formerly, **fields, **options)
        self._registry.add(spec, storage, routes, dependencies, require_if_match)

    def include(self, other: "AutoCRUD") -> bool:
        """Register the models of another registry with their options. Its other settings are not taken over.

        A model without a storage of its own gets the storage factory of `other`, or of this registry if `other` has
        none.

        Returns:
            True if a model has the storage that `other` names.

        Raises:
            ConfigurationError: a name is taken, or `apply` was called before.
        """
        self._refuse_after_apply("include")
        return self._registry.include(other._registry)

    def apply(self, app: FastAPI, *, prefix: str = "") -> None:
        """Add the routes to the application. The application's lifespan opens and closes the storages.

        A route of the application with the same path and method takes precedence, even if it is added later.

        Args:
            prefix: the start of the path of every model, such as `/v1`.

        Raises:
            ConfigurationError: a model has no storage or the name `transaction`, a reference names an unknown model,
                this is a second call, or an argument is wrong.
        """
        self._refuse_after_apply("apply")
        check_application(app)
        check_prefix(prefix)
        check_model_names(self._registry.models)
        managers = self._registry.all_managers()
        self._applied = True
        mount = Mount(app, prefix)
        models = self._mount_models(mount, prefix, managers)
        if models:
            endpoint = TransactionEndpoint(models, self.transact, Guards(app), self._max_body_bytes)
            mount.add_transaction(endpoint.operation(), self._current_user)
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
        return tuple(self._registry.models)

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
        return self._registry.manager(model)

    def transaction(self, *, by: str | None = None) -> Transaction:
        """Return a transaction over the models of one store, for `async with crud.transaction() as tx`.

        Args:
            by: author of the writes.
        """
        return Transaction(self._registry.manager, by)

    async def transact(
        self, function: Callable[[Transaction], Awaitable[R]], *, attempts: int = ATTEMPTS, by: str | None = None
    ) -> R:
        """Call a function with a new transaction, commit, and return the result. After a conflict, start again.

        The function may run several times, so it should have no effects but those of the transaction. Retries that lost
        a race for one resource wait for each other.

        Args:
            attempts: number of times that the function runs at most.
            by: author of the writes.

        Raises:
            InvalidParameter: `attempts` is less than 1.
            Conflict: the last attempt lost a race, too.
        """
        return await self._retries.run(lambda: self.transaction(by=by), function, attempts)

    def verify(self) -> AsyncGenerator[DanglingReference, None]:
        """Yield references whose target is missing or deleted. Between stores, races can leave some."""
        return self._registry.find_dangling()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the storages for the duration of the context, and run the maintenance. For scripts without `apply`.

        Raises:
            ConfigurationError: a storage cannot be used with its settings, a reference names an unknown model, or a
                model does not fit its data.
        """
        async with opened(self._registry, self._on_schema_change) as managers:
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
        return await check_backends(self._registry.factories(), patience)

    def _mount_models(
        self, mount: Mount, prefix: str, managers: Sequence[ResourceManager[Any]]
    ) -> dict[str, ServedModel]:
        """Add the routes of each model. Return the models that take part in transactions."""
        models: dict[str, ServedModel] = {}
        for registration, manager in zip(self._registry.models.values(), managers, strict=True):
            spec = registration.spec
            routes = ModelRoutes(
                manager=manager,
                path=f"{prefix}/{spec.name}",
                max_body_bytes=self._max_body_bytes,
                require_if_match=registration.require_if_match,
                current_user=self._current_user,
                redirect_seconds=self._redirect_seconds,
                max_page_bytes=self._max_page_bytes,
                query_seconds=self._query_seconds,
                filter_style=self._filter_style,
                families=registration.families,
            )
            served = operations(routes, registration.families)
            for operation in add_pages(routes, served) if self._data_view else served:
                mount.add(routes, operation, registration.dependencies)
            mount.add_tag(spec)
            if manager.node.storage.store is not None:
                models[spec.name] = ServedModel(routes, registration.families, registration.dependencies)
        return models

    def _refuse_after_apply(self, method: str) -> None:
        if self._applied:
            raise ConfigurationError(f"{method} was called after apply, when the routes exist already")
