"""Watch for the disconnect of a client, so that nothing is computed for a client that has left."""

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

WATCH_AFTER_S = 0.05


class DisconnectWatch:
    """Context that is cancelled, and raises `ClientDisconnect`, if the client of a request disconnects.

    A request without a body, or with a body that was read, may use it: the watch reads what the client sends.

    Args:
        after: seconds until the watch begins; 0 begins at once. A request that ends sooner costs one timer.
    """

    def __init__(self, receive: Receive, *, after: float = WATCH_AFTER_S) -> None:
        self._receive = receive
        self._after = after
        self._is_gone = False
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        if self._after:
            self._timer = asyncio.get_running_loop().call_later(self._after, self._start)
        else:
            self._start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        # As in `asyncio.timeout`: a cancellation by somebody else goes on.
        if self._is_gone and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ClientDisconnect from error

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        # ASGI reports a disconnect only through `receive`.
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()
