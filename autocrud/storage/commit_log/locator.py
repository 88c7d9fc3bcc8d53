"""Locators: names of bytes within an object, `key:offset:length`. What they name is read, and erased, here."""

import re
from collections.abc import Iterable
from functools import partial

from autocrud.errors import DataCorrupted
from autocrud.storage.ports.objects import ObjectMissing, ObjectStore

_LOCATOR = re.compile(r"(?P<key>[^:]+):(?P<offset>\d+):(?P<length>\d+)")


def parse_locator(locator: str) -> tuple[str, int, int]:
    """Take a locator apart: key, offset, length.

    Raises:
        DataCorrupted: it is none.
    """
    match = _LOCATOR.fullmatch(locator)
    if match is None:
        raise DataCorrupted(f"{locator!r} is not a locator.")
    return match["key"], int(match["offset"]), int(match["length"])


async def read_located(objects: ObjectStore, prefix: str, locator: str) -> bytes:
    """The bytes that a locator names.

    Args:
        prefix: what the locator's key is relative to, without a trailing slash; "" for the store itself.

    Raises:
        DataCorrupted: they are not there.
    """
    key, offset, length = parse_locator(locator)
    key = f"{prefix}/{key}" if prefix else key
    try:
        data = await objects.get(key, offset, offset + length)
    except ObjectMissing:
        raise DataCorrupted(f"{key} is lost.") from None
    if len(data) != length or data.isspace():
        raise DataCorrupted(f"{key} does not hold the data at {offset}.")
    return data


async def blank(objects: ObjectStore, key: str, spans: Iterable[tuple[int, int]]) -> None:
    """Overwrite parts of an object, each an offset and a length, with as many blanks; twice does no harm.

    Raises:
        DataCorrupted: there is no such object.
    """
    try:
        await objects.rewrite(key, partial(_blank_spans, tuple(spans)))
    except ObjectMissing:
        raise DataCorrupted(f"{key} is lost.") from None


def _blank_spans(spans: Iterable[tuple[int, int]], content: bytes) -> bytes:
    for offset, length in spans:
        content = content[:offset] + b" " * length + content[offset + length :]
    return content
