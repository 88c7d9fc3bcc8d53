"""JSON Web Key Set (RFC 7517) of an issuer: fetched, cached, and fetched again on an unknown key id."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from pydantic_core import from_json

from autocrud.errors import IssuerUnavailable

logger = logging.getLogger(__name__)

PublicKey = RSAKey | ECKey | OKPKey

_MAX_AGE_S = 600.0  # after which the set is fetched again, so that a key that the issuer has withdrawn is forgotten
_MIN_GAP_S = 10.0  # between two fetches while keys are cached, because anybody can send an unknown key id
_RETRY_GAP_S = 1.0  # between two fetches while no keys are cached
_TIMEOUT_S = 5.0
_MAX_BYTES = 1024 * 1024


class InvalidKeySet(Exception):
    """The issuer's answer is no key set, or no metadata of the issuer."""


class IssuerKeys:
    """Public keys of one issuer. They stay valid while the issuer is away.

    Args:
        jwks_url: URL of the key set; None to read it from the issuer's metadata (OpenID Connect Discovery 1.0).
        clock: returns seconds that never go back.

    Attributes:
        generation: number that each change of the keys raises.
    """

    def __init__(self, issuer: str, jwks_url: str | None, *, clock: Callable[[], float] = monotonic) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._clock = clock
        self._documents: Sequence[Mapping[str, Any]] = ()
        self._keys: Sequence[PublicKey] = ()
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0

    async def find(self, key_id: str | None) -> PublicKey | None:
        """Return the key of an id; without an id, the only key. None if there is no such key.

        Raises:
            IssuerUnavailable: no keys are cached, and the issuer does not answer.
        """
        if not self._keys:
            await self._fetch_unless_recent(_RETRY_GAP_S)
            if not self._keys:
                raise IssuerUnavailable(f"The keys of the issuer {self._issuer} cannot be fetched.")
        key = self._cached(key_id)
        if key is None:
            await self._fetch_unless_recent(_MIN_GAP_S)
            key = self._cached(key_id)
        return key

    def renew_if_old(self) -> None:
        """Start to fetch the keys again if they are old. Requests do not wait for it."""
        now = self._clock()
        if now - self._fetched_at > _MAX_AGE_S and now - self._tried_at > _MIN_GAP_S and self._fetching is None:
            self._start()

    def _cached(self, key_id: str | None) -> PublicKey | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == key_id), None)

    async def _fetch_unless_recent(self, gap: float) -> None:
        """Fetch the keys, unless that was tried less than `gap` seconds ago. Join a fetch that is under way."""
        if self._fetching is None:
            if self._clock() - self._tried_at < gap:
                return
            self._start()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _start(self) -> None:
        self._tried_at = self._clock()
        self._fetching = asyncio.create_task(self._fetch())
        self._fetching.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        """Fetch the keys. If that fails, keep those that are cached."""
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                documents = await self._read_documents()
            keys = _import_keys(documents)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, InvalidKeySet) as error:
            state = "the cached keys stay valid" if self._keys else "no token can be verified"
            logger.warning("Cannot fetch the keys of the issuer %s, so %s: %s", self._issuer, state, _reason(error))
            return
        self._fetched_at = self._clock()
        if documents != self._documents:
            self._documents, self._keys = documents, keys
            self.generation += 1

    async def _read_documents(self) -> Sequence[Mapping[str, Any]]:
        """Return the keys of the issuer as they are sent."""
        # A client loads the certificates of all authorities, which takes too long for the event loop.
        client = await asyncio.to_thread(httpx.AsyncClient, timeout=_TIMEOUT_S)
        async with client:
            url = self._jwks_url or await self._discover(client)
            documents = (await _read_json(client, url)).get("keys")
        if not isinstance(documents, list) or not all(isinstance(document, dict) for document in documents):
            raise InvalidKeySet("the key set has no list of keys")
        return documents

    async def _discover(self, client: httpx.AsyncClient) -> str:
        """Return the URL of the key set that the issuer's metadata names."""
        metadata = await _read_json(client, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        url = metadata.get("jwks_uri")
        if metadata.get("issuer") != self._issuer:
            raise InvalidKeySet(f"the metadata has another issuer: {str(metadata.get('issuer'))[:200]!r}")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise InvalidKeySet("the metadata has no jwks_uri")
        if self._issuer.startswith("https://") and not url.startswith("https://"):
            raise InvalidKeySet("the jwks_uri of the metadata does not begin with https://")
        return url


async def _read_json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Return the JSON object at a URL."""
    body = bytearray()
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != 200:
            raise InvalidKeySet(f"{response.url.host} answered {response.status_code}")
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MAX_BYTES:
                raise InvalidKeySet(f"the answer is longer than {_MAX_BYTES} bytes")
    try:
        found = from_json(bytes(body))
    except ValueError as error:
        raise InvalidKeySet("the answer is no JSON") from error
    if not isinstance(found, dict):
        raise InvalidKeySet("the answer is no JSON object")
    return found


def _import_keys(documents: Sequence[Mapping[str, Any]]) -> Sequence[PublicKey]:
    """Return the keys that can verify signatures. Keys of unknown types are ignored (RFC 7517, 5).

    Raises:
        InvalidKeySet: there is no such key.
    """
    keys: list[PublicKey] = []
    for document in documents:
        if document.get("kty") not in ("RSA", "EC", "OKP") or document.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(dict(document))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            keys.append(key)
    if not keys:
        raise InvalidKeySet("the key set has no key that can verify signatures")
    return keys


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
