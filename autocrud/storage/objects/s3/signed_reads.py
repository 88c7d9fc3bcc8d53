"""Reads of one small object over and over: by a URL that is signed once, so that a read costs little."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import aiohttp

from autocrud.storage.objects.s3.errors import FAILURES
from autocrud.storage.ports.objects import ObjectMissing

# A read through botocore takes 2.9 ms of the event loop, a read by a signed URL 0.5 ms (measured).
_VALID_S = 3600  # a signed URL
_RENEW_S = 1800
_TIMEOUT_S = 2.0
_PAUSE_S = 60.0  # after a failure, in which all reads go through botocore

Sign = Callable[[str, int], Awaitable[str]]


class SignedReads:
    """Reads of objects by signed URLs, which are kept.

    Args:
        sign: returns the URL of a key that is valid for so many seconds.
    """

    def __init__(self, sign: Sign) -> None:
        self._sign = sign
        self._session: Any = None
        self._urls: dict[str, tuple[str, float]] = {}
        self._paused_until = 0.0

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        self._urls.clear()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def get(self, key: str, limit: int) -> bytes | None:
        """Return at most `limit` bytes of an object; None if the server did not answer as expected.

        Raises:
            ObjectMissing: the object does not exist.
        """
        if monotonic() < self._paused_until:
            return None
        url = await self._url(key)
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True, auto_decompress=False)
        try:
            async with self._session.get(url) as response:
                if response.status == 404:
                    raise ObjectMissing(key)
                if response.status == 200:
                    return await _read(response, limit)
        except FAILURES:
            pass
        # The credentials may have expired, or the network may need settings that only botocore reads.
        self._urls.clear()
        self._paused_until = monotonic() + _PAUSE_S
        return None

    async def _url(self, key: str) -> str:
        found = self._urls.get(key)
        if found is None or monotonic() > found[1]:
            found = self._urls[key] = await self._sign(key, _VALID_S), monotonic() + _RENEW_S
        return found[0]


async def _read(response: Any, limit: int) -> bytes:
    content = b""
    while len(content) < limit and (piece := await response.content.read(limit - len(content))):
        content += piece
    return content
