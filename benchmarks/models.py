"""Model of the benchmark: the four fields of the baseline, one of them with an index."""

from typing import Annotated

from autocrud import Index
from benchmarks import baseline

__all__ = ["Item"]


class Item(baseline.Item):
    """A body of four fields that lists can filter by quantity."""

    quantity: Annotated[int, Index()]
