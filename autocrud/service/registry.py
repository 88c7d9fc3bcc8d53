"""Registry of the service: the models and the storage that the settings name."""

from dataclasses import dataclass

from autocrud import AutoCRUD
from autocrud.service.authentication import build_authenticator
from autocrud.service.current_user import user_from
from autocrud.service.model_loader import LoadedModels, register_models
from autocrud.service.settings import PREFIX, Settings, SettingsError


@dataclass(frozen=True)
class ServiceRegistry:
    """The models of the service.

    Attributes:
        models: the origin of the models.
    """

    crud: AutoCRUD
    models: LoadedModels


def build_registry(settings: Settings) -> ServiceRegistry:
    """Register the models of the settings.

    Raises:
        ConfigurationError: a setting or a model is wrong.
    """
    crud = AutoCRUD(
        storage_factory=settings.storage_factory(),
        max_body_bytes=settings.max_body_bytes,
        idempotency_seconds=settings.idempotency_seconds,
        housekeeping_seconds=settings.housekeeping_seconds,
        max_blob_bytes=settings.max_blob_bytes,
        upload_seconds=settings.upload_seconds,
        max_page_bytes=settings.max_page_bytes,
        query_seconds=settings.query_seconds,
        redirect_seconds=settings.blob_redirect_seconds,
        openapi_filters=settings.openapi_filters.value,
        data_view=settings.data_view,
        on_schema_change=settings.on_schema_change.value,
        default_access=settings.default_access.value,
    )
    authenticator = build_authenticator(settings)
    if authenticator is not None:
        crud.configure(authenticator=authenticator)
    elif settings.user_header is not None:
        crud.configure(current_user=user_from(settings.user_header))
    models = register_models(crud, settings.models)
    if authenticator is not None and crud.authenticator is not authenticator:
        raise SettingsError(f"{PREFIX}AUTH: must be empty, because {settings.models} has an authenticator of its own.")
    return ServiceRegistry(crud, models)
