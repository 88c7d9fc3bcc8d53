"""Settings of the service: environment variables, then a `.env` file."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from autocrud.crud import HOUSEKEEPING_SECONDS, MAX_BODY_BYTES
from autocrud.errors import AutoCRUDError, ConfigurationError
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS
from autocrud.manager.manager import KEY_SECONDS
from autocrud.manager.schema_check.start_check import OnSchemaChange
from autocrud.routes.openapi.filter_parameters import FilterStyle
from autocrud.routes.operation import MAX_PAGE_BYTES
from autocrud.service.auth_settings import AuthSettings, split_names
from autocrud.service.connections.settings import PREFIX as PREFIX
from autocrud.service.connections.settings import ConnectionLimits
from autocrud.service.limits.settings import LimitSettings
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.model_storage import INLINE_LIMIT
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.ports.query_limit import QUERY_SECONDS
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.store_factory import StoreFactory

# Environment variable of each argument that the library checks.
SETTING_OF = {
    "prefix": f"{PREFIX}PREFIX",
    "directory": f"{PREFIX}DATA_DIR",
    "cache_dir": f"{PREFIX}CACHE_DIR",
    "bucket": f"{PREFIX}S3_BUCKET",
    "endpoint_url": f"{PREFIX}S3_ENDPOINT_URL",
    "region": f"{PREFIX}S3_REGION",
    "access_key": f"{PREFIX}S3_ACCESS_KEY",
    "secret_key": f"{PREFIX}S3_SECRET_KEY",
    "postgres_url": f"{PREFIX}POSTGRES_URL",
    "schema": f"{PREFIX}POSTGRES_SCHEMA",
    "rate_limit": f"{PREFIX}RATE_LIMIT",
    "rate_limit_storage": f"{PREFIX}RATE_LIMIT_STORAGE",
}


class SettingsError(ConfigurationError):
    """A setting is wrong. The message is one sentence that begins with the variable's name."""


def describe_error(error: AutoCRUDError) -> str:
    """Return the message of an error at the start, with the name of the setting at fault."""
    setting = SETTING_OF.get(error.argument or "") if isinstance(error, ConfigurationError) else None
    return f"{setting}: {error}" if setting else str(error)


_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\s,/?#]+")
_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9a-fA-F:.]+\]")
_ROOT_PATH = re.compile(r"(/[^\s/{}?#]+)*")


class StorageKind(StrEnum):
    """Kinds of storage factories."""

    memory = "memory"
    disk = "disk"
    s3 = "s3"
    postgres = "postgres"


class LogFormat(StrEnum):
    """Format of log lines: text for people, or one JSON object each."""

    text = "text"
    json = "json"


class LogLevel(StrEnum):
    """Lowest level of the lines that are written."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class Settings(AuthSettings, LimitSettings, ConnectionLimits):
    """All settings of the service. The variable is `AUTOCRUD_` and the field's name in capitals."""

    storage: StorageKind = StorageKind.disk
    data_dir: Path = Path("data")
    cache_dir: Path = Path("data/cache")
    s3_bucket: str | None = None
    s3_endpoint_url: str | None = None
    s3_prefix: str = ""
    s3_public_url: str | None = None
    s3_region: str | None = None
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    s3_create_bucket: bool = False
    s3_max_staleness: Annotated[float, Field(ge=0, le=3600)] = 0.0
    postgres_url: SecretStr | None = None
    postgres_schema: Annotated[str, Field(min_length=1, max_length=63)] = "autocrud"
    postgres_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    postgres_statement_cache: Annotated[int, Field(ge=0, le=10000)] = 100
    inline_bytes: Annotated[int, Field(ge=0, le=1024 * 1024)] = INLINE_LIMIT
    models: str = "app.models"
    title: Annotated[str, Field(min_length=1)] = "autocrud"
    prefix: str = ""
    root_path: str = ""
    cors_origins: str = ""
    allowed_hosts: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body_bytes: Annotated[int, Field(ge=1)] = MAX_BODY_BYTES
    idempotency_seconds: Annotated[float, Field(ge=1)] = KEY_SECONDS
    housekeeping_seconds: Annotated[float, Field(ge=1)] = HOUSEKEEPING_SECONDS
    max_blob_bytes: Annotated[int, Field(ge=1)] = MAX_BLOB_BYTES
    upload_seconds: Annotated[float, Field(ge=1)] = UPLOAD_SECONDS
    max_page_bytes: Annotated[int, Field(ge=1)] = MAX_PAGE_BYTES
    query_seconds: Annotated[float, Field(gt=0, le=3600)] = QUERY_SECONDS
    blob_redirect_seconds: Annotated[int, Field(ge=0, le=604800)] = 0
    openapi_filters: FilterStyle = FilterStyle.compact
    data_view: bool = True
    on_schema_change: OnSchemaChange = OnSchemaChange.warn
    shutdown_seconds: Annotated[int, Field(ge=1)] = 30
    log_format: LogFormat = LogFormat.text
    log_level: LogLevel = LogLevel.info
    access_log: bool = True

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _expand_home(cls, path: Path) -> Path:
        try:
            return path.expanduser()
        except RuntimeError as error:
            raise ValueError(f"{error}") from error

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        if not _ROOT_PATH.fullmatch(path):
            raise ValueError("must be a path such as /api, without a slash at the end")
        return path

    @field_validator("allowed_hosts")
    @classmethod
    def _check_allowed_hosts(cls, text: str) -> str:
        for host in split_names(text):
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host such as example.com or *.example.com; separate hosts by commas")
        return text

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, text: str) -> str:
        for origin in split_names(text):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin such as https://example.com; separate origins by commas")
        return text

    @property
    def allowed_origins(self) -> list[str]:
        """Origins of web pages that may send requests."""
        return split_names(self.cors_origins)

    @property
    def trusted_hosts(self) -> list[str]:
        """Values of `Host` that are served; all if empty."""
        return split_names(self.allowed_hosts)

    @model_validator(mode="after")
    def _check_memory_workers(self) -> "Settings":
        if self.storage is StorageKind.memory and self.workers > 1:
            raise SettingsError(f"{PREFIX}WORKERS: must be 1 with memory storage, which exists in one process only.")
        return self

    @model_validator(mode="after")
    def _check_storage_settings(self) -> "Settings":
        required = {StorageKind.s3: ("s3_bucket",), StorageKind.postgres: ("postgres_url", "s3_bucket")}
        for name in required.get(self.storage, ()):
            if getattr(self, name) is None:
                raise SettingsError(f"{PREFIX}{name.upper()}: must be set for {PREFIX}STORAGE={self.storage}.")
        if (self.s3_access_key is None) is not (self.s3_secret_key is None):
            raise SettingsError(f"{PREFIX}S3_SECRET_KEY: belongs to {PREFIX}S3_ACCESS_KEY; set both, or neither.")
        return self

    def storage_factory(self) -> IStorageFactory:
        """Return the storage factory for `AUTOCRUD_STORAGE`, with its settings."""
        factory = self._storage_factory()
        factory.limit_waiting_writes(self.max_waiting_writes)
        return factory

    def _storage_factory(self) -> StoreFactory:
        match self.storage:
            case StorageKind.memory:
                return MemoryStorageFactory()
            case StorageKind.disk:
                return DiskStorageFactory(self.data_dir, inline_limit=self.inline_bytes)
            case StorageKind.s3:
                from autocrud.storage.s3 import S3StorageFactory

                return S3StorageFactory(
                    self._s3_location(),
                    inline_limit=self.inline_bytes,
                    cache_dir=self.cache_dir,
                    max_staleness=self.s3_max_staleness,
                )
            case StorageKind.postgres:
                from autocrud.storage.postgres import PostgresStorageFactory

                return PostgresStorageFactory(
                    _reveal(self.postgres_url) or "",
                    self._s3_location(),
                    inline_limit=self.inline_bytes,
                    schema=self.postgres_schema,
                    pool_size=self.postgres_pool_size,
                    statement_cache=self.postgres_statement_cache,
                )

    def _s3_location(self) -> S3Location:
        return S3Location(
            self.s3_bucket or "",
            endpoint_url=self.s3_endpoint_url,
            public_url=self.s3_public_url,
            prefix=self.s3_prefix,
            region=self.s3_region,
            access_key=_reveal(self.s3_access_key),
            secret_key=_reveal(self.s3_secret_key),
            create_bucket=self.s3_create_bucket,
        )


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a setting is wrong.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors()[0]
        name = PREFIX + str(problem["loc"][0]).upper() if problem["loc"] else PREFIX
        reason = problem["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {reason}, not {problem['input']!r}.") from error
