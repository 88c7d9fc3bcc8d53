"""Creation of an object that several processes may create at the same time."""

import asyncio

from autocrud.storage.ports.objects import ObjectExists, ObjectStore, PutUndecided

_ATTEMPTS = 6
_FIRST_DELAY_S = 0.1


async def create_object(objects: ObjectStore, key: str, content: bytes) -> bool:
    """Store an object unless the key exists. Return False if it exists, possibly by an earlier attempt of this call.

    Raises:
        PutUndecided: the outcome is still unknown after several attempts.
    """
    delay = _FIRST_DELAY_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await objects.put(key, content, if_absent=True)
        except ObjectExists:
            return False
        except PutUndecided:  # S3 answers so if two processes create the object at the same moment
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(delay)
            delay *= 2
        else:
            return True
    return False
