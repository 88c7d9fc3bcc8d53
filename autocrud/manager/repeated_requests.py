"""Repeated requests: answers to requests whose idempotency key was used before."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from autocrud.errors import Conflict, KeyReused, NotFound
from autocrud.manager.heads import read_head
from autocrud.resource import CommitKind, ResourceMeta
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Repeated, RequestKey, Write
from autocrud.versioning.history import History
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author

# Separates the hash of a request from the version of the resource that the request changed.
_VERSION_SEPARATOR = "@"


def with_version(key: RequestKey, version: int) -> RequestKey:
    """Return the key of a request that made this version of an existing resource."""
    return replace(key, fingerprint=f"{key.fingerprint}{_VERSION_SEPARATOR}{version}")


def probe_of(spec: ModelSpec[Any], key: RequestKey, author: Author) -> Write:
    """Return a write that a commit refuses: as `Repeated` if the key was used, else as `Conflict`.

    The write follows a version that does not exist.
    """
    resource_id = str(uuid4())
    meta = ResourceMeta.trusted(
        resource_id=resource_id,
        version=2,
        current_revision_id=f"{resource_id}:1",
        total_revision_count=1,
        is_deleted=False,
        created_time=author.now,
        updated_time=author.now,
        created_by=author.by,
        updated_by=author.by,
        schema_version=spec.schema.version,
        status=spec.default_status,
    )
    return Write(CommitKind.switch, 1, meta, key=key)


class RepeatedRequests:
    """Answers repeated requests of one model.

    Args:
        storage, history: readers of the answers.
        keys: storage that knows the request keys.
    """

    def __init__(self, spec: ModelSpec[Any], storage: IStorage, history: History, keys: IStorage) -> None:
        self._spec = spec
        self._storage = storage
        self._history = history
        self._keys = keys

    async def answer(self, repeated: Repeated, key: RequestKey) -> Resource[Any]:
        """Return the resource as the first request with this key left it.

        Raises:
            KeyReused: the first request had another content.
            NotFound: the resource was purged.
            RevisionNotFound: the data of that time was pruned.
        """
        fingerprint, _, version = repeated.fingerprint.partition(_VERSION_SEPARATOR)
        if fingerprint != key.fingerprint:
            raise KeyReused from repeated
        resource_id, number = repeated.resource_id, int(version or 1)
        head = await read_head(self._spec, self._storage, resource_id, include_deleted=True, current=True)
        for commit in await self._storage.commits(resource_id, before=number + 1, limit=1):
            return replace(await self._history.at_commit(head, commit), is_new=number == 1)
        raise NotFound(self._spec.name, resource_id)

    async def find(self, key: RequestKey, author: Author) -> Resource[Any] | None:
        """Return the answer of the first request with this key; None if there was no such request.

        A storage tells a used key by the refusal of a write, see `probe_of`.

        Raises:
            KeyReused, NotFound, RevisionNotFound: as `answer`.
        """
        try:
            await self._keys.commit(probe_of(self._spec, key, author))
        except Repeated as repeated:
            return await self.answer(repeated, key)
        except Conflict:
            return None
        raise LookupError("a storage refuses a write that follows a missing version")
