"""Shared factories: several registries of one process may use one storage factory. The last one closes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from autocrud.storage.ports.storage import IStorageFactory


@dataclass(slots=True)
class _Use:
    """Use of a factory by running registries.

    Attributes:
        count: number of registries that use the factory, or wait for it.
        lock: held while the factory opens or closes.
    """

    count: int = 0
    is_open: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_uses: dict[IStorageFactory, _Use] = {}


@asynccontextmanager
async def opened_factory(factory: IStorageFactory) -> AsyncIterator[None]:
    """Keep a factory open for the duration of the context. Other contexts of the factory may begin and end meanwhile.

    Raises:
        ConfigurationError: the factory cannot be used with its settings.
    """
    use = _uses.setdefault(factory, _Use())
    use.count += 1
    try:
        async with use.lock:
            if not use.is_open:
                await _open(factory)
                use.is_open = True
        yield
    finally:
        use.count -= 1
        try:
            async with use.lock:
                if use.count == 0 and use.is_open:
                    use.is_open = False
                    await factory.close()
        finally:
            if use.count == 0 and _uses.get(factory) is use:
                del _uses[factory]


async def _open(factory: IStorageFactory) -> None:
    try:
        await factory.open()
    except BaseException:
        await factory.close()
        raise
