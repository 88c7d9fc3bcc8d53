"""Mounting: adds the routes of all models of a registry to an application."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autocrud.manager.guarded.manager import GuardedManager
from autocrud.manager.manager import ResourceManager
from autocrud.pages.data_view import add_pages
from autocrud.registration.registry import Registration
from autocrud.routes.mount import Mount
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.request.transaction_reader import ServedModel
from autocrud.routes.route_table import operations


def mount_models(
    mount: Mount,
    prefix: str,
    registrations: Iterable[Registration],
    managers: Sequence[ResourceManager[Any]],
    *,
    data_view: bool,
    options: Mapping[str, Any],
) -> dict[str, ServedModel]:
    """Add the routes of each model. Return the models that take part in transactions.

    Args:
        managers: manager of each registration.
        data_view: answer browsers with pages.
        options: arguments of `ModelRoutes` that the models share.
    """
    models: dict[str, ServedModel] = {}
    for registration, manager in zip(registrations, managers, strict=True):
        if registration.is_system:
            continue
        spec = registration.spec
        routes = ModelRoutes(
            manager=manager,
            path=f"{prefix}/{spec.name}",
            require_if_match=registration.require_if_match,
            families=registration.families,
            permits_anonymous=isinstance(manager, GuardedManager) and manager.guard.permits_anonymous,
            **options,
        )
        served = operations(routes, registration.families)
        for operation in add_pages(routes, served) if data_view else served:
            mount.add(routes, operation, registration.dependencies)
        mount.add_tag(spec)
        if manager.node.storage.store is not None:
            models[spec.name] = ServedModel(routes, registration.families, registration.dependencies)
    return models
