"""Announcement: three lines about the service at its start, without secrets."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from autocrud.service.settings import Settings, StorageKind

_ALL_INTERFACES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # and the address at which this machine reaches itself


def startup_lines(settings: Settings, models: Sequence[str], own_storage: str | None = None) -> tuple[str, str, str]:
    """Return the lines: the address with the models, the documentation, and the storage.

    Args:
        models: names of the models.
        own_storage: module or file that names the storage itself, or None.
    """
    names = ", ".join(models) or "no models"
    address = _url(_ALL_INTERFACES.get(settings.host, settings.host), settings.port)
    scope = " and all other interfaces" if settings.host in _ALL_INTERFACES else ""
    return (
        f"Serving {names} on {address}{settings.prefix}{scope}",
        f"Documentation: {address}/docs",
        f"Storage: {_storage_text(settings) if own_storage is None else f'that of {own_storage}'}",
    )


def mask_url(url: str) -> str:
    """Return a URL without its password and without its query, which may hold a password, too."""
    parts = urlsplit(url)
    user, separator, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return parts._replace(netloc=f"{name}{colon and ':***'}{separator}{host}", query="", fragment="").geturl()


def _url(host: str, port: int) -> str:
    shown_host = f"[{host}]" if ":" in host else host
    return f"http://{shown_host}:{port}" if port else f"http://{shown_host} (a free port)"


def _storage_text(settings: Settings) -> str:
    match settings.storage:
        case StorageKind.memory:
            return "memory; the data is lost when the process ends"
        case StorageKind.disk:
            return f"disk, in {settings.data_dir.absolute()}"
        case StorageKind.s3:
            return f"s3, {_bucket_text(settings)}"
        case StorageKind.postgres:
            url = settings.postgres_url.get_secret_value() if settings.postgres_url else ""
            return f"postgres, {mask_url(url)} and {_bucket_text(settings)}"


def _bucket_text(settings: Settings) -> str:
    server = mask_url(settings.s3_endpoint_url) if settings.s3_endpoint_url else "AWS"
    return f"bucket {settings.s3_bucket} at {server}"
