"""Limits of connections, which the server reads from the environment in each process."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "AUTOCRUD_"


class ConnectionLimits(BaseSettings):
    """Limits of one connection of a client."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    max_header_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    receive_seconds: Annotated[float, Field(gt=0)] = 30.0
