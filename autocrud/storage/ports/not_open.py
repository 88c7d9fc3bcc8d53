"""Error of a storage that is used before it is open, and the check for stores that have no connection to miss."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from autocrud.errors import StorageUnavailable

Store = TypeVar("Store", bound=type[Any])


class StorageNotOpen(StorageUnavailable):
    """The application serves requests, and its lifespan has not run."""

    def __init__(self) -> None:
        super().__init__(
            "Storage is not open: the application's lifespan has not run. Run the app with lifespan support, or use"
            " `async with crud.running()` for a mounted app."
        )


def refuse_unless_open(port: Any) -> Callable[[Store], Store]:
    """Make every required method of a port raise `StorageNotOpen` while the store's `is_open` is False.

    Args:
        port: the port that the decorated class implements. Its `open` and `close` are always allowed, and so is
            `metadata` of an engine, because storages are built before the factory is open.
    """

    def decorate(store: Store) -> Store:
        for name in port.__abstractmethods__ - {"open", "close", "metadata"}:
            setattr(store, name, _check_open(getattr(store, name)))
        return store

    return decorate


def _check_open(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(store: Any, *args: Any, **options: Any) -> Any:
        if not store.is_open:
            raise StorageNotOpen
        return method(store, *args, **options)

    return call
