"""The conformance suite: what every storage must do, told by the invariants of the design.

A backend proves itself by a subclass of `StorageConformance` with one fixture, `factory`, an opened `IStorageFactory`;
nothing may be left out. The numbers in the tests' names are the invariants'. Needs pytest and pytest-asyncio.
"""

from autocrud.testing.conformance.base import asking, ids, outcomes, present
from autocrud.testing.conformance.blobs import BlobTests
from autocrud.testing.conformance.commits import WritingTests
from autocrud.testing.conformance.group_commits import GroupTests
from autocrud.testing.conformance.index_fields import FieldTests
from autocrud.testing.conformance.point_in_time import TimeTests
from autocrud.testing.conformance.queries import QueryTests
from autocrud.testing.conformance.revisions import TimelineTests
from autocrud.testing.conformance.snapshot_scans import PictureTests
from autocrud.testing.conformance.text_search import TextTests
from autocrud.testing.conformance.unique_constraints import UniqueTests

__all__ = ["StorageConformance", "asking", "ids", "outcomes", "present"]


class StorageConformance(
    WritingTests,
    GroupTests,
    UniqueTests,
    QueryTests,
    FieldTests,
    TextTests,
    PictureTests,
    TimelineTests,
    TimeTests,
    BlobTests,
):
    """All of it."""
