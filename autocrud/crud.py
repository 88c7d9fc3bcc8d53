"""AutoCRUD: models go in, routes on a FastAPI application come out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.params import Depends

from autocrud.errors import AutoCRUDError, ConfigurationError, StorageUnavailable
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS
from autocrud.manager.manager import KEY_SECONDS, ResourceManager
from autocrud.references.graph import Graph
from autocrud.resource import Retention, RevisionStatus
from autocrud.routes.mount import Mount
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.request.current_user import UserDependency, anonymous
from autocrud.routes.response.problems import answer_problem
from autocrud.routes.route_table import FAMILIES, operations
from autocrud.schema.markers import Ref
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory

T = TypeVar("T")

MAX_BODY_BYTES = 4 * 1024 * 1024
HOUSEKEEPING_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass
class _Registered:
    """One model as it was added; its manager exists once the storage is known."""

    spec: ModelSpec[Any]
    storage: IStorageFactory | IStorage | None
    families: frozenset[str]
    dependencies: Sequence[Depends]
    require_if_match: bool
    manager: ResourceManager[Any] | None = None
    built: IStorage | None = field(default=None)


class AutoCRUD:
    """The registry of a service's models.

    Args:
        storage_factory: where models go that do not name their own storage.
        max_body_bytes: longer request bodies are refused with 413.
        current_user: a FastAPI dependency that returns who is asking, as text, or None: for `created_by` and
            `updated_by`. `app.dependency_overrides` replaces it as any other.
        idempotency_seconds: how long the key of a POST is remembered.
        housekeeping_seconds: between two rounds of erasing what a retention has given up, and what has expired.
        max_blob_bytes: longer uploads are refused with 413.
        upload_seconds: how long an upload in parts may take.
        redirect_seconds: how long a URL of a blob in S3 works, to which a client is sent that asks for
            `redirect=true`; 0 to send none.
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
    ) -> None:
        self._storage_factory = storage_factory
        self._max_body_bytes = max_body_bytes
        self._current_user = current_user
        self._redirect_seconds = redirect_seconds
        self._limits: dict[str, Any] = {
            "key_seconds": idempotency_seconds,
            "max_blob_bytes": max_blob_bytes,
            "upload_seconds": upload_seconds,
        }
        self._housekeeping_seconds = housekeeping_seconds
        self._models: dict[str, _Registered] = {}
        self._applied = False

    def configure(
        self,
        *,
        storage_factory: IStorageFactory | None = None,
        max_body_bytes: int | None = None,
        current_user: UserDependency | None = None,
    ) -> None:
        """Change what the constructor set; what is None stays.

        Raises:
            ConfigurationError: the routes exist already.
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
        require_if_match: bool = False,
        routes: Collection[str] | None = None,
        dependencies: Sequence[Depends] = (),
    ) -> None:
        """Register a model: a Pydantic model, a dataclass or a TypedDict.

        Args:
            name: the path segment; the kebab-case class name by default.
            storage: a factory, or a storage already built, for this model alone.
            indexed_fields: fields to filter by, beside those annotated with `Index()` or `Unique()`.
            default_status: of new revisions; a draft may be edited in place.
            retention: which old revisions are kept; all of them if None.
            unique_together: sets of index fields that are unique together, such as `[("title", "year")]`.
            temporal: keep the index values of every commit, so that lists `at` a time can be filtered and sorted.
            require_if_match: refuse writes without `If-Match` (or `If-None-Match: *`) with 428.
            routes: the families to have, of those in `autocrud.routes.FAMILIES`; all of them by default.
            dependencies: FastAPI dependencies that guard every route of the model.

        Raises:
            ConfigurationError: the model cannot be stored, the name is taken, a field cannot be indexed or be unique,
                or a family does not exist.
        """
        self._refuse_after_apply("add_model")
        kept: Any = {"default_status": default_status, "retention": retention, "temporal": temporal}
        spec: ModelSpec[Any] = ModelSpec(
            model, name=name, indexed_fields=indexed_fields, unique_together=unique_together, **kept
        )
        self._refuse_taken_name(spec)
        families = _families(spec, routes)
        self._models[spec.name] = _Registered(spec, storage, families, tuple(dependencies), require_if_match)

    def apply(self, app: FastAPI, *, prefix: str = "") -> None:
        """Add the routes to the application, and open and close the storages with its lifespan.

        A route of the application's own on the same path and method wins, wherever it was added.

        Raises:
            ConfigurationError: a model has no storage, a reference leads to no model, or this was called before.
        """
        self._refuse_after_apply("apply")
        self._build(complete=True)
        self._applied = True
        mount = Mount(app, prefix)
        for registered in self._models.values():
            spec = registered.spec
            routes = ModelRoutes(
                manager=self.manager(spec.name),
                path=f"{prefix}/{spec.name}",
                max_body_bytes=self._max_body_bytes,
                require_if_match=registered.require_if_match,
                current_user=self._current_user,
                redirect_seconds=self._redirect_seconds,
            )
            for operation in operations(routes, registered.families):
                mount.add(routes, operation, registered.dependencies)
            mount.add_tag(spec)
        mount.order_routes()
        app.add_exception_handler(AutoCRUDError, answer_problem)
        inner: Any = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(application: Any) -> AsyncIterator[Mapping[str, Any] | None]:
            mount.order_routes()
            async with self.running(), inner(application) as state:
                yield state

        app.router.lifespan_context = lifespan  # type: ignore[assignment]  # as FastAPI merges them

    def manager(self, model: type[Any] | str) -> ResourceManager[Any]:
        """The manager of a model, by its class or its name.

        Raises:
            LookupError: it is not registered, or its storage is not known yet.
        """
        for registered in self._models.values():
            if model in (registered.spec.model, registered.spec.name):
                if registered.manager is None:
                    self._build()
                if registered.manager is not None:
                    return registered.manager
        raise LookupError(f"{model!r} is not a registered model")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The storages open for a while: what `apply` does for an application, for scripts that have none.

        Raises:
            ConfigurationError: a storage cannot be used as it is set, or a reference leads to no model.
        """
        self._build(complete=True)
        async with AsyncExitStack() as stack:
            for factory in self._factories():
                stack.push_async_callback(factory.close)
                await factory.open()
            for registered in self._models.values():
                if registered.built is not None:
                    stack.push_async_callback(registered.built.close)
                    await registered.built.open()
            keeping = asyncio.create_task(self._keep_house())
            try:
                yield
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
                await asyncio.gather(*(manager.references.drain() for manager in self._managers()))

    async def check(self, *, patience: float = 5.0) -> dict[str, str | None]:
        """Ask each backend in use whether it can serve; what it says against it, or None, by its name.

        Args:
            patience: seconds, after which a backend that has not answered counts as away.
        """
        checks = [check for factory in self._factories() for check in factory.checks().items()]
        answers = await asyncio.gather(*(_trouble(check, patience) for _, check in checks))
        found: dict[str, str | None] = {}
        for (name, _), trouble in zip(checks, answers, strict=True):
            found[name] = found.get(name) or trouble
        return found

    async def _keep_house(self) -> None:
        while True:
            for manager in self._managers():
                await _housekeep(manager)
            await asyncio.sleep(self._housekeeping_seconds)

    def _build(self, *, complete: bool = False) -> None:
        """Make the managers that are not there yet, and tell all of them of each other.

        Args:
            complete: no model will be added any more.
        """
        new = [registered for registered in self._models.values() if registered.manager is None]
        for registered in new:
            storage = registered.storage or self._storage_factory
            if storage is None:
                raise ConfigurationError(
                    f"{registered.spec.type_name} has no storage: give AutoCRUD a factory, or the model a storage"
                )
            built = storage if isinstance(storage, IStorage) else storage.build(registered.spec)
            registered.built = built
            registered.manager = ResourceManager(registered.spec, built, **self._limits)
        graph = Graph([manager.node for manager in self._managers()], self._shows)
        if complete and graph.unknown:
            raise ConfigurationError(graph.unknown[0])
        for manager in self._managers() if new else ():
            manager.link(graph)

    def _shows(self, ref: Ref, reader: str, seen: str) -> bool:
        """Whether who may read one model may read another one, too: where whatever guards that guards this as well."""
        mine, other = self._models[reader], self._models[seen]
        guarded = all(dependency in mine.dependencies for dependency in other.dependencies)
        return ref.expand or (guarded and "read" in other.families)

    def _managers(self) -> list[ResourceManager[Any]]:
        return [registered.manager for registered in self._models.values() if registered.manager is not None]

    def _factories(self) -> list[IStorageFactory]:
        """Each factory in use, once."""
        used = [registered.storage or self._storage_factory for registered in self._models.values()]
        return list(dict.fromkeys(factory for factory in used if isinstance(factory, IStorageFactory)))

    def _refuse_taken_name(self, spec: ModelSpec[Any]) -> None:
        # Names become tables and folders, where these two characters are one, and so is their case.
        if any(_folded(spec.name) == _folded(taken) for taken in self._models):
            raise ConfigurationError(f"{spec.type_name}: there is a model of the name {spec.name!r} already")

    def _refuse_after_apply(self, method: str) -> None:
        if self._applied:
            raise ConfigurationError(f"{method} was called after apply: the routes exist already")


async def _housekeep(manager: ResourceManager[Any]) -> None:
    try:
        await manager.run_maintenance()
    except Exception:  # a task's boundary: it is tried again, and the service goes on
        logger.exception("housekeeping of %s failed", manager.spec.name)


async def _trouble(check: Check, patience: float) -> str | None:
    try:
        async with asyncio.timeout(patience):
            await check()
    except TimeoutError:
        return f"no answer within {patience:g} s"
    except StorageUnavailable as error:
        return str(error)
    return None


def _families(spec: ModelSpec[Any], routes: Collection[str] | None) -> frozenset[str]:
    """The route families of a model."""
    families = FAMILIES if routes is None else frozenset(routes)
    unknown = sorted(families - FAMILIES)
    if unknown:
        raise ConfigurationError(
            f"{spec.type_name}: {unknown[0]!r} is not a route family; these are: {', '.join(sorted(FAMILIES))}"
        )
    return families


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
