"""Health of the backends in use."""

import asyncio
from collections.abc import Iterable

from autocrud.errors import StorageUnavailable
from autocrud.storage.ports.storage import Check, IStorageFactory


async def check_backends(factories: Iterable[IStorageFactory], patience: float) -> dict[str, str | None]:
    """Ask each backend if it can serve. Return, by name of the backend, None or the reason of the failure.

    Args:
        patience: time limit for the answer of a backend, in seconds.
    """
    checks = [check for factory in factories for check in factory.checks().items()]
    reasons = await asyncio.gather(*(_run_check(check, patience) for _, check in checks))
    results: dict[str, str | None] = {}
    for (name, _), reason in zip(checks, reasons, strict=True):
        results[name] = results.get(name) or reason
    return results


async def _run_check(check: Check, patience: float) -> str | None:
    """Return None if the backend answers in time, or the reason of the failure."""
    try:
        async with asyncio.timeout(patience):
            await check()
    except TimeoutError:
        return f"no answer within {patience:g} s"
    except StorageUnavailable as error:
        return str(error)
    return None
