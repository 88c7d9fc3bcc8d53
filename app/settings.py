"""The service's settings: environment variables, and a `.env` file for those that the environment does not set."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from autocrud.crud import MAX_BODY_BYTES
from autocrud.errors import ConfigurationError
from autocrud.storage.base import IStorageFactory
from autocrud.storage.disk import INLINE_LIMIT, DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory

PREFIX = "AUTOCRUD_"

# The variable behind each argument of a factory that can turn out to be wrong only when it is used.
SETTING_OF = {"directory": f"{PREFIX}DATA_DIR"}


class SettingsError(ConfigurationError):
    """A setting is wrong; the message is one sentence that begins with the variable's name."""


class StorageKind(StrEnum):
    """The storage factories that this version has."""

    memory = "memory"
    disk = "disk"


class LogFormat(StrEnum):
    """How log lines look: for people, or one JSON object each."""

    text = "text"
    json = "json"


class LogLevel(StrEnum):
    """The least important lines that are written."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class Settings(BaseSettings):
    """All settings of the service. `AUTOCRUD_` and the field's name in capitals is the variable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    storage: StorageKind = StorageKind.disk
    data_dir: Path = Path("data")
    inline_bytes: Annotated[int, Field(ge=0, le=1024 * 1024)] = INLINE_LIMIT
    models: str = "app.models"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    max_body_bytes: Annotated[int, Field(ge=1)] = MAX_BODY_BYTES
    shutdown_seconds: Annotated[int, Field(ge=1)] = 30
    log_format: LogFormat = LogFormat.text
    log_level: LogLevel = LogLevel.info
    access_log: bool = True

    @model_validator(mode="after")
    def _one_process_for_memory(self) -> "Settings":
        if self.storage is StorageKind.memory and self.workers > 1:
            raise SettingsError(f"{PREFIX}WORKERS: must be 1 with memory storage, which lives in one process.")
        return self

    def storage_factory(self) -> IStorageFactory:
        """The factory that `AUTOCRUD_STORAGE` names, with its own settings."""
        match self.storage:
            case StorageKind.memory:
                return MemoryStorageFactory()
            case StorageKind.disk:
                return DiskStorageFactory(self.data_dir, inline_limit=self.inline_bytes)


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one is wrong.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors()[0]
        name = PREFIX + str(problem["loc"][0]).upper() if problem["loc"] else PREFIX
        raise SettingsError(f"{name}: {problem['msg']}, not {problem['input']!r}.") from error
