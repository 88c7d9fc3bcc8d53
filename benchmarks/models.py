"""Model of the benchmark: the four fields of the baseline."""

from benchmarks.baseline import Item

__all__ = ["Item"]
