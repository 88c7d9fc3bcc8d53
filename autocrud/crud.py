"""AutoCRUD: registers models and adds their routes to a FastAPI application."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar, overload

from fastapi import FastAPI
from fastapi.params import Depends

from autocrud.access.authenticator import Authenticator, AuthenticatorFunction
from autocrud.errors import AutoCRUDError, ConfigurationError
from autocrud.guard.current_principal import SYSTEM, System
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS
from autocrud.manager.health import check_backends
from autocrud.manager.maintenance import maintained
from autocrud.manager.manager import KEY_SECONDS, ResourceManager
from autocrud.manager.schema_check.start_check import check_reaction
from autocrud.manager.transaction.retries import ATTEMPTS
from autocrud.manager.transaction.transaction import Transaction
from autocrud.policy.access import Access
from autocrud.policy.principal import Principal
from autocrud.references.dangling import DanglingReference
from autocrud.registration.identity import Identity
from autocrud.registration.mounting import mount_models
from autocrud.registration.registry import Registry
from autocrud.registration.rules import DefaultAccess, RegistryRules
from autocrud.registration.start import opened
from autocrud.resource import Retention, RevisionStatus
from autocrud.routes.apply_checks import check_application, check_model_names, check_prefix
from autocrud.routes.endpoints.transaction import TransactionEndpoint
from autocrud.routes.guards import Guards
from autocrud.routes.mount import Mount
from autocrud.routes.openapi.filter_parameters import check_filter_style
from autocrud.routes.operation import MAX_PAGE_BYTES
from autocrud.routes.request.current_user import UserDependency, anonymous
from autocrud.routes.response.problems import answer_problem
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
        authenticator: names the principal of each request, from `autocrud.access`, or an async function
            `(Request) -> Principal | None`. Others get 401. Excludes `current_user`: the principal is the author.
        idempotency_seconds: lifetime of an idempotency key, in seconds.
        housekeeping_seconds: pause between two rounds of maintenance, in seconds.
        max_blob_bytes: size limit of a blob, in bytes; longer uploads are refused with 413.
        upload_seconds: lifetime of an upload session, and of a blob that no resource refers to, in seconds.
        max_page_bytes: size of the data at which a page ends, in bytes; it has a next page then.
        query_seconds: time limit of each query of a request, in seconds; a longer one is cancelled, and is 422.
        redirect_seconds: lifetime of a blob's S3 URL for `redirect=true`, in seconds; 0 disables redirects.
        openapi_filters: filters in OpenAPI: `compact` has a parameter per index field and one object of all operators
            per model, `full` a parameter per operator, `none` no filters. Requests are not affected.
        data_view: answer browsers (`Accept: text/html`) with pages.
        on_schema_change: `warn` logs at the start if a model no longer fits its stored data, and has no new schema
            version. `refuse` raises instead.
        default_access: `deny` closes models without `access`; `open` opens them to every principal.

    Raises:
        ConfigurationError: an argument has another value, or both `current_user` and `authenticator` are given.
    """

    def __init__(
        self,
        *,
        storage_factory: IStorageFactory | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        current_user: UserDependency = anonymous,
        authenticator: Authenticator | AuthenticatorFunction | None = None,
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
        default_access: DefaultAccess = "open",
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._identity = Identity(current_user, authenticator)
        self._route_options = {
            "redirect_seconds": redirect_seconds,
            "max_page_bytes": max_page_bytes,
            "query_seconds": query_seconds,
            "filter_style": check_filter_style(openapi_filters),
        }
        self._data_view = data_view
        self._on_schema_change = check_reaction(on_schema_change)
        self._registry = Registry(
            storage_factory,
            key_seconds=idempotency_seconds,
            max_blob_bytes=max_blob_bytes,
            upload_seconds=upload_seconds,
        )
        self._rules = RegistryRules(self._registry, default_access)
        self._housekeeping_seconds = housekeeping_seconds
        self._applied = False

    def configure(
        self,
        *,
        storage_factory: IStorageFactory | None = None,
        max_body_bytes: int | None = None,
        current_user: UserDependency | None = None,
        authenticator: Authenticator | AuthenticatorFunction | None = None,
    ) -> None:
        """Change arguments of the constructor. None leaves an argument unchanged.

        Raises:
            ConfigurationError: `apply` was called before, a manager is on another storage factory, or both
                `current_user` and `authenticator` are given.
        """
        self._refuse_after_apply("configure")
        if storage_factory is not None:
            self._registry.change_storage_factory(storage_factory)
        self._max_body_bytes = self._max_body_bytes if max_body_bytes is None else max_body_bytes
        self._identity = self._identity.changed(current_user, authenticator)

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
        access: Access | None = None,
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
            access: rules that tell who may do what; see `autocrud.access`.

        Raises:
            ConfigurationError: the model cannot be stored, the name is taken, or an argument is wrong.
        """
        self._refuse_after_apply("add_model")
        fields: Any = {"indexed_fields": indexed_fields, "unique_together": unique_together, "schema": schema}
        options: Any = {"default_status": default_status, "retention": retention, "temporal": temporal}
        spec: ModelSpec[Any] = ModelSpec(model, name=name, formerly=formerly, **fields, **options)
        self._registry.add(spec, storage, routes, dependencies, require_if_match, access)

    def include(self, other: "AutoCRUD") -> bool:
        """Register the models of another registry with their options, and take over its authenticator.

        Its other settings are not taken over.

        A model without a storage of its own gets the storage factory of `other`, or of this registry if `other` has
        none.

        Returns:
            True if a model has the storage that `other` names.

        Raises:
            ConfigurationError: a name is taken, `apply` was called before, or both have an authenticator.
        """
        self._refuse_after_apply("include")
        self._identity = self._identity.including(other._identity)
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
        self._identity.bind_api_keys(self._registry)
        managers = self._rules.route_managers(has_authenticator=self.authenticator is not None)
        self._applied = True
        mount = Mount(app, prefix)
        options, registrations = self._shared_options(), self._registry.models.values()
        models = mount_models(mount, prefix, registrations, managers, data_view=self._data_view, options=options)
        if models:
            transact = self._rules.route_transact(managers)
            endpoint = TransactionEndpoint(models, transact, Guards(app), self._max_body_bytes)
            mount.add_transaction(endpoint.operation(), options["current_user"], options["authentication"])
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
        return tuple(self._registry.public_models())

    @property
    def authenticator(self) -> Authenticator | None:
        """The authenticator of the routes; None if anybody may use them."""
        return self._identity.authenticator

    @overload
    def manager(self, model: type[T], *, principal: Principal | System | None = SYSTEM) -> ResourceManager[T]: ...

    @overload
    def manager(self, model: str, *, principal: Principal | System | None = SYSTEM) -> ResourceManager[Any]: ...

    def manager(self, model: type[Any] | str, *, principal: Principal | System | None = SYSTEM) -> ResourceManager[Any]:
        """Return the manager of a model, which is given by its class or its name.

        Without a principal every call returns the same object, which no rule of access restricts.

        Args:
            principal: the manager may do what the rules permit this principal; None is a caller without credentials.

        Raises:
            LookupError: the model is not registered.
            ConfigurationError: a registered model has no storage yet, or a field cannot be a reference.
        """
        return self._rules.finder(principal)(model)

    def transaction(self, *, by: str | None = None, principal: Principal | System | None = SYSTEM) -> Transaction:
        """Return a transaction over the models of one store, for `async with crud.transaction() as tx`.

        Args:
            by: author of the writes; with a principal it is always the principal.
            principal: as in `manager`.
        """
        author = by if isinstance(principal, System) else getattr(principal, "id", None)
        return Transaction(self._rules.finder(principal), author)

    async def transact(
        self, function: Callable[[Transaction], Awaitable[R]], *, attempts: int = ATTEMPTS, by: str | None = None
    ) -> R:
        """Call a function with a new transaction, commit, and return the result. After a conflict, start again.

        The function may run several times, so it should have no effects but those of the transaction.

        Args:
            attempts: number of times that the function runs at most.
            by: author of the writes.

        Raises:
            InvalidParameter: `attempts` is less than 1.
            Conflict: the last attempt lost a race, too.
        """
        return await self._rules.transact(self._registry.manager, function, attempts=attempts, by=by)

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
        self._identity.bind_api_keys(self._registry)
        starting = opened(self._registry, self._on_schema_change)
        async with starting as managers, maintained(managers, self._housekeeping_seconds):
            yield

    async def check(self, *, patience: float = 5.0) -> dict[str, str | None]:
        """Ask each backend in use if it can serve. Return, by its name, None or the reason of the failure.

        Args:
            patience: time limit for the answer of a backend, in seconds.
        """
        return await check_backends(self._registry.factories(), patience)

    def _shared_options(self) -> Mapping[str, Any]:
        """Return the arguments of `ModelRoutes` that all models share."""
        identity = {"current_user": self._identity.current_user, "authentication": self._identity.authentication}
        return {"max_body_bytes": self._max_body_bytes, **identity, **self._route_options}

    def _refuse_after_apply(self, method: str) -> None:
        if self._applied:
            raise ConfigurationError(f"{method} was called after apply, when the routes exist already")
