"""The conformance suite: what every storage must do, told by the invariants of the design.

A backend proves itself by a subclass of `StorageConformance` with one fixture, `factory`, an opened `IStorageFactory`;
nothing may be left out. The numbers in the tests' names are the invariants'. Needs pytest and pytest-asyncio.
"""

from autocrud.testing.conformance.blobs import BlobTests
from autocrud.testing.conformance.fields import FieldTests
from autocrud.testing.conformance.groups import GroupTests
from autocrud.testing.conformance.pictures import PictureTests
from autocrud.testing.conformance.queries import QueryTests
from autocrud.testing.conformance.support import asking, ids, outcomes, present
from autocrud.testing.conformance.texts import TextTests
from autocrud.testing.conformance.timelines import TimelineTests
from autocrud.testing.conformance.times import TimeTests
from autocrud.testing.conformance.unique import UniqueTests
from autocrud.testing.conformance.writing import WritingTests

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
