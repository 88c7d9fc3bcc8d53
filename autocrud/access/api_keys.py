"""API keys: an authenticator whose keys are resources of a system model in the store."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from autocrud.access.api_key import PREFIX, ApiKey, Scope, hash_of_key, id_of_key, is_same_hash, new_key
from autocrud.access.authenticator import Authenticator
from autocrud.access.bearer import bearer_token
from autocrud.access.key_reads import KeyReads
from autocrud.errors import AlreadyExists, ConfigurationError, InvalidInput, Unauthenticated
from autocrud.manager.manager import ResourceManager
from autocrud.policy.principal import Principal, is_principal_name
from autocrud.resource import ResourceMeta
from autocrud.storage.ports.types import Head

_REFUSAL = "The API key is unknown, revoked or expired."
_NO_HASH = "0" * 64
_PAGE_SIZE = 100


class ApiKeys(Authenticator):
    """Authenticator of API keys, sent as `Authorization: Bearer acrud_…`.

    The store of the registry's storage factory holds the SHA-256 of each key, as a resource of a system model without
    routes. Every request reads its key from the store, so that a revocation holds at once on all nodes.
    """

    challenges: Sequence[str] = ("Bearer",)
    security_schemes: Mapping[str, Mapping[str, Any]] = {
        "ApiKey": {"type": "http", "scheme": "bearer", "description": f"An API key, which begins with `{PREFIX}`."}
    }

    def __init__(self) -> None:
        self._manager: ResourceManager[ApiKey] | None = None
        self._reads: KeyReads | None = None
        # The last principal of each key, with the version of the resource.
        self._parsed: dict[str, tuple[int, str, ApiKey, Principal]] = {}

    def bind(self, manager: ResourceManager[ApiKey]) -> None:
        """Set the manager of the system model.

        Raises:
            ConfigurationError: the keys belong to another registry already.
        """
        if self._manager is not None and self._manager is not manager:
            raise ConfigurationError("these API keys belong to another AutoCRUD; give each its own ApiKeys()")
        self._manager = manager
        self._reads = KeyReads(manager.node.storage)

    async def __call__(self, request: Request) -> Principal | None:
        token = bearer_token(request)
        if token is None or not token.startswith(PREFIX):
            return None
        key_id = id_of_key(token)
        if key_id is None:
            raise Unauthenticated(_REFUSAL)
        if self._reads is None:
            raise _not_bound()
        head = await self._reads.read(key_id)
        if head is None or head.is_deleted or head.data is None:
            # As long as for a key that exists.
            is_same_hash(hash_of_key(token), _NO_HASH)
            self._parsed.pop(key_id, None)
            raise Unauthenticated(_REFUSAL)
        key, principal = self._parse(key_id, head, head.data)
        if not is_same_hash(hash_of_key(token), key.sha256) or not key.is_valid:
            raise Unauthenticated(_REFUSAL)
        return principal

    async def create(
        self,
        name: str,
        *,
        scopes: Iterable[Scope | str] = tuple(Scope),
        roles: Iterable[str] = (),
        tenant: str | None = None,
        expires_at: datetime | None = None,
        by: str | None = None,
    ) -> str:
        """Store a new key and return its text, which cannot be read again.

        Args:
            name: id of the principal.
            expires_at: the key is refused from this time on; None for never.
            by: author, for `created_by`.

        Raises:
            InvalidInput: an argument is invalid.
        """
        roles = tuple(roles)
        for field, value in (("name", name), ("tenant", tenant or name), *(("role", role) for role in roles)):
            if not is_principal_name(value):
                raise InvalidInput(f"{field}: must have 1 to 256 printable characters.")
        while True:
            key_id, text = new_key()
            data = {
                "name": name,
                "sha256": hash_of_key(text),
                "scopes": list(dict.fromkeys(scopes)),
                "roles": list(dict.fromkeys(roles)),
                "tenant": tenant,
                "expires_at": expires_at,
            }
            try:
                await self._bound().create(data, resource_id=key_id, by=by)
            except AlreadyExists:
                continue
            return text

    async def list_keys(self) -> AsyncIterator[tuple[ResourceMeta, ApiKey]]:
        """Yield each key with its metadata, newest first. The id in the metadata is the readable part of the key."""
        cursor: str | None = None
        while True:
            page = await self._bound().search(limit=_PAGE_SIZE, cursor=cursor)
            for resource in page.items:
                yield resource.meta, resource.data
            cursor = page.next_cursor
            if cursor is None:
                return

    async def revoke(self, key_id: str, *, by: str | None = None) -> None:
        """Revoke a key. Every request that begins afterwards is refused, on all nodes. Idempotent.

        Args:
            key_id: readable part of the key.

        Raises:
            NotFound, Deleted: there is no key of this id.
        """
        manager = self._bound()
        resource = await manager.get(key_id)
        if resource.data.revoked_at is None:
            await manager.patch(key_id, {"revoked_at": datetime.now(UTC).isoformat()}, by=by)

    def _parse(self, key_id: str, head: Head, data: bytes) -> tuple[ApiKey, Principal]:
        """Return a key and its principal. An unchanged resource is parsed once."""
        found = self._parsed.get(key_id)
        if found is None or found[0] != head.version or found[1] != head.created_time:
            key = ApiKey.model_validate_json(data)
            found = self._parsed[key_id] = (head.version, head.created_time, key, key.principal(key_id))
        return found[2], found[3]

    def _bound(self) -> ResourceManager[ApiKey]:
        if self._manager is None:
            raise _not_bound()
        return self._manager


def _not_bound() -> ConfigurationError:
    return ConfigurationError("the API keys have no store: give them to AutoCRUD(authenticator=…), and run it")
