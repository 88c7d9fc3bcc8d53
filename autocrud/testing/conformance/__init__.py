"""Conformance suite: tests that every storage must pass, numbered by the invariants of the design.

A backend proves itself by a subclass of `StorageConformance` with one fixture, `factory`, an opened `IStorageFactory`.
A factory whose storages have a `store` proves itself by a subclass of `StoreConformance`, too. No test may be left out.
Needs pytest and pytest-asyncio.
"""

from autocrud.testing.conformance.base import asking, ids, outcomes, present
from autocrud.testing.conformance.blobs import BlobTests
from autocrud.testing.conformance.changes import ChangeTests
from autocrud.testing.conformance.commits import CommitTests
from autocrud.testing.conformance.group_commits import GroupCommitTests
from autocrud.testing.conformance.index_fields import IndexFieldTests
from autocrud.testing.conformance.point_in_time import PointInTimeTests
from autocrud.testing.conformance.queries import QueryTests
from autocrud.testing.conformance.revisions import RevisionTests
from autocrud.testing.conformance.snapshot_scans import SnapshotScanTests
from autocrud.testing.conformance.text_search import TextSearchTests
from autocrud.testing.conformance.transactions import TransactionTests
from autocrud.testing.conformance.unique_constraints import UniqueConstraintTests

__all__ = ["StorageConformance", "StoreConformance", "asking", "ids", "outcomes", "present"]


class StorageConformance(
    CommitTests,
    GroupCommitTests,
    UniqueConstraintTests,
    QueryTests,
    IndexFieldTests,
    TextSearchTests,
    SnapshotScanTests,
    RevisionTests,
    PointInTimeTests,
    BlobTests,
):
    """Every conformance test."""


class StoreConformance(TransactionTests, ChangeTests):
    """Tests of a store that several models share. A subclass has one fixture, `factory`, an opened factory."""
