"""Probe of an object store: tests the guarantees that a log needs."""

import asyncio
from uuid import uuid4

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore

_RACERS = 32
_ATTEMPTS = 5
_ANSWER_TIMEOUT_S = 1.5  # seconds


async def probe(objects: ObjectStore, store_name: str) -> None:
    """Race conditional PUTs on a new key, and edits. Exactly one PUT may win, and no edit may be lost.

    Args:
        store_name: name of the store for messages.

    Raises:
        ConfigurationError: the store breaks a guarantee, and cannot hold a log.
        StorageUnavailable: too many answers are missing for a result.
    """
    key = f".probe/{uuid4().hex}"
    try:
        await _race_conditional_puts(objects, key, store_name)
        await _race_edits(objects, key, store_name)
    finally:
        await objects.delete(key)


async def _race_conditional_puts(objects: ObjectStore, key: str, store_name: str) -> None:
    contents = [f"racer {number}".encode() for number in range(_RACERS)]
    winners = []
    undecided = list(range(_RACERS))
    for _ in range(_ATTEMPTS):
        puts = (_put(objects, key, contents[number]) for number in undecided)
        answers = dict(zip(undecided, await asyncio.gather(*puts, return_exceptions=True), strict=True))
        winners += [number for number, answer in answers.items() if answer is None]
        undecided = [number for number, answer in answers.items() if isinstance(answer, StorageUnavailable)]
        for answer in answers.values():
            if isinstance(answer, BaseException) and not isinstance(answer, ObjectExists | StorageUnavailable):
                raise answer
        if not undecided:
            break
    try:
        found = await objects.get(key)
    except ObjectMissing:
        raise StorageUnavailable(
            f"{store_name} did {len(winners)} of {_RACERS} conditional PUTs, and has no object."
        ) from None
    if len(winners) > 1 or (winners and found != contents[winners[0]]):
        raise ConfigurationError(
            f"{store_name} cannot hold a log: of {_RACERS} conditional PUTs on one key at once, {len(winners)} were"
            " told that they had created it, and exactly one may be. Its conditional PUT (If-None-Match: *) is absent"
            " or racy, and acknowledged writes would be lost. Use a store that has it: AWS S3, or SeaweedFS from 4.17"
            " on",
            argument="endpoint_url",
        )
    if undecided:
        raise StorageUnavailable(f"{store_name} left {len(undecided)} of {_RACERS} conditional PUTs undecided.")


async def _put(objects: ObjectStore, key: str, content: bytes) -> None:
    """Create an object if absent. A PUT without an answer counts as undecided, because SeaweedFS lets losers wait."""
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            await objects.put(key, content, if_absent=True)
    except TimeoutError as error:
        raise StorageUnavailable("no answer") from error


async def _race_edits(objects: ObjectStore, key: str, store_name: str) -> None:
    await objects.put(key, b"")
    editors = 2
    await asyncio.gather(*(objects.rewrite(key, lambda content: content + b"x") for _ in range(editors)))
    found = await objects.get(key)
    if len(found) != editors:
        raise ConfigurationError(
            f"{store_name} cannot hold a log: of {editors} conditional PUTs (If-Match) that edit one object at once,"
            f" {editors - len(found)} were lost, and a purge would leave behind what it was to erase",
            argument="endpoint_url",
        )
