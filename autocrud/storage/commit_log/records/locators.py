"""Locators: places of bytes in a log, as `unit:offset:length`.

The unit is the sequence number of the first entry of the file, or of the only entry of the object. The offset counts
from the start of the file or object. So a locator is resolved without an index of entries.
"""

import re
from collections.abc import Iterable

from autocrud.errors import DataCorrupted

_LOCATOR = re.compile(r"(\d{1,18}):(\d{1,18}):(\d{1,18})")


def parse_locator(locator: str) -> tuple[int, int, int]:
    """Return unit, offset and length.

    Raises:
        DataCorrupted: the text is not a locator.
    """
    match = _LOCATOR.fullmatch(locator)
    if match is None:
        raise DataCorrupted(f"{locator!r} is not a locator.")
    unit, offset, length = match.groups()
    return int(unit), int(offset), int(length)


def spans_by_unit(locators: Iterable[str]) -> dict[int, list[tuple[int, int]]]:
    """Return the offsets and lengths of locators, in the order of their units."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for unit, offset, length in sorted(map(parse_locator, locators)):
        spans.setdefault(unit, []).append((offset, length))
    return spans


def require_data(data: bytes, length: int, source: str, offset: int) -> bytes:
    """Return the data of a locator.

    Raises:
        DataCorrupted: the data is too short, or was blanked.
    """
    if len(data) != length or data.isspace():
        raise DataCorrupted(f"{source} does not hold the data at byte {offset}.")
    return data
