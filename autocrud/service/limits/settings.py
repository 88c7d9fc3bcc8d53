"""Settings of the limits."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from autocrud.service.limits.rate_policy import MEMORY, RatePolicy, parse_policy
from autocrud.storage.store import MAX_WAITING_WRITES

MAX_REQUESTS = 1000


class LimitSettings(BaseSettings):
    """Settings of rates, queues and trusted proxies."""

    rate_limit: str | None = None
    rate_limit_storage: SecretStr | None = None
    trusted_proxies: str = ""
    max_requests: Annotated[int, Field(ge=1)] = MAX_REQUESTS
    max_waiting_writes: Annotated[int, Field(ge=1)] = MAX_WAITING_WRITES

    @field_validator("rate_limit")
    @classmethod
    def _check_rate_limit(cls, text: str | None) -> str | None:
        if text is not None:
            parse_policy(text)
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _check_trusted_proxies(cls, text: str) -> str:
        for network in _split(text):
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(
                    f"{network!r} is no address or network such as 10.0.0.0/8; separate by commas"
                ) from error
        return text

    @property
    def rate_storage(self) -> str:
        """Storage of the counters: `memory`, or a URL."""
        return MEMORY if self.rate_limit_storage is None else self.rate_limit_storage.get_secret_value()

    @property
    def rate_policy(self) -> RatePolicy | None:
        """Policy of the rate limit; None without a limit."""
        return None if self.rate_limit is None else parse_policy(self.rate_limit)

    @property
    def proxies(self) -> list[str]:
        """Addresses and networks whose `X-Forwarded` headers are believed."""
        return _split(self.trusted_proxies)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
