"""The model that the benchmark stores: the four fields of the baseline."""

from benchmarks.baseline import Item

__all__ = ["Item"]
