"""Rate limiter: counts the requests of each client, in memory or in Redis."""

import math
import time
from dataclasses import dataclass
from typing import Any

from autocrud.errors import ConfigurationError, RateLimited, StorageUnavailable
from autocrud.service.limits.rate_policy import MEMORY, RATE_HEADERS, RatePolicy

try:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import RedisStorage, Storage
    from limits.aio.strategies import SlidingWindowCounterRateLimiter
    from limits.errors import ConfigurationError as LimitsConfigurationError
    from limits.errors import StorageError

    from autocrud.service.limits.memory_counters import MemoryCounters
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"The package {missing.name} is missing. Install it: pip install 'autocrud[rate-limits]'", argument="rate_limit"
    ) from missing

_REDIS_SCHEMES = ("redis://", "rediss://")
_REDIS_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Quota:
    """Rest of a client's quota.

    Attributes:
        reset: seconds until the quota grows.
    """

    policy: RatePolicy
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers-06)."""
        values = (str(self.policy.quota), str(self.remaining), str(self.reset), self.policy.header)
        return dict(zip(RATE_HEADERS, values, strict=True))


class RateLimiter:
    """Counts the requests of each client by a sliding window.

    Args:
        storage: `memory`, or the URL of a Redis that several processes share.

    Raises:
        ConfigurationError: the URL is wrong.
    """

    def __init__(self, policy: RatePolicy, storage: str) -> None:
        self.policy = policy
        self._item = RateLimitItemPerSecond(policy.quota, policy.window, namespace="autocrud")
        self._strategy = SlidingWindowCounterRateLimiter(_storage_of(storage))

    async def charge(self, key: str) -> Quota:
        """Count a request of a client, and return the rest of the quota.

        Raises:
            RateLimited: the quota is used up. The request is not counted.
            StorageUnavailable: Redis does not answer.
        """
        try:
            is_admitted = await self._strategy.hit(self._item, key)
            stats = await self._strategy.get_window_stats(self._item, key)
        except StorageError as error:
            cause = error.storage_error
            raise StorageUnavailable(f"Redis of the rate limit does not answer: {type(cause).__name__}.") from cause
        quota = Quota(self.policy, max(0, stats.remaining), max(1, math.ceil(stats.reset_time - time.time())))
        if not is_admitted:
            raise RateLimited(self.policy.quota, self.policy.window, quota.reset, quota.headers)
        return quota


def _storage_of(url: str) -> Storage:
    if url == MEMORY:
        return MemoryCounters()
    # The URL may have a password, so that no message shows it.
    if not url.startswith(_REDIS_SCHEMES):
        raise ConfigurationError(
            "must be memory, redis://host:port or rediss://host:port", argument="rate_limit_storage"
        )
    timeouts: Any = {"socket_timeout": _REDIS_TIMEOUT_S, "socket_connect_timeout": _REDIS_TIMEOUT_S}
    try:
        return RedisStorage(f"async+{url}", wrap_exceptions=True, implementation="redispy", **timeouts)
    except (ValueError, LimitsConfigurationError):
        raise ConfigurationError("the URL of Redis cannot be read", argument="rate_limit_storage") from None
