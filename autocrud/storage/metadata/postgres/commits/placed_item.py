"""PlacedItem: an accepted item with its place in the store's commit order."""

from typing import NamedTuple

from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Item


class PlacedItem(NamedTuple):
    """An accepted item.

    Attributes:
        locator: address of the data in the records; None without data.
    """

    item: Item
    position: Position
    locator: str | None = None
