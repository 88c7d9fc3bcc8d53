"""PlacedItem: an accepted item with its place in the store's commit order."""

from typing import NamedTuple

from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Blob, Write


class PlacedItem(NamedTuple):
    """An accepted item.

    Attributes:
        locator: address of the data in the records; None without data.
    """

    item: Write | Blob
    position: Position
    locator: str | None = None
