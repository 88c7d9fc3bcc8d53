"""Reads of API keys: each sees every change that was acknowledged before it began, and requests share them."""

from autocrud.storage.commit_log.shared_looks import SharedLooks
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head


class KeyReads:
    """Reads the heads of keys for requests.

    A request reads by itself unless another request reads the same key. Then it waits for a read that serves all
    requests that waited when it began. So many requests with one key cost few reads, and a request never gets a state
    from before its arrival.
    """

    def __init__(self, storage: IStorage) -> None:
        self._storage = storage
        self._alone: set[str] = set()  # ids of keys that one request reads by itself
        self._shared: dict[str, _SharedRead] = {}

    async def read(self, key_id: str) -> Head | None:
        """Return the head of a key as of now; None if the key does not exist."""
        if key_id in self._alone:
            return await self._read_together(key_id)
        self._alone.add(key_id)
        try:
            return await self._storage.get(key_id, current=True)
        finally:
            self._alone.discard(key_id)

    async def _read_together(self, key_id: str) -> Head | None:
        shared = self._shared.get(key_id)
        if shared is None:
            shared = self._shared[key_id] = _SharedRead(self._storage, key_id)
        shared.waiting += 1
        try:
            return await shared.read()
        finally:
            shared.waiting -= 1
            if not shared.waiting:
                del self._shared[key_id]


class _SharedRead:
    """Reads one key.

    Attributes:
        waiting: number of requests that wait.
    """

    def __init__(self, storage: IStorage, key_id: str) -> None:
        self._storage = storage
        self._key_id = key_id
        self._looks = SharedLooks(self._look)
        self._begun = self._newest = 0  # number of the last read that began, and of the newest whose result is known
        self._head: Head | None = None
        self.waiting = 0

    async def read(self) -> Head | None:
        """Return the result of a read that began after this call."""
        await self._looks.wait()
        return self._head

    async def _look(self) -> None:
        self._begun = number = self._begun + 1
        head = await self._storage.get(self._key_id, current=True)
        # Reads may overlap. The result of an older one must not replace that of a newer one.
        if number > self._newest:
            self._newest, self._head = number, head
