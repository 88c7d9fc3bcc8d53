"""What a manager hands out: resources and pages of them, as stored JSON that is parsed where somebody asks."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head

T = TypeVar("T")


@dataclass(slots=True)
class Resource(Generic[T]):
    """A resource as it was read.

    Attributes:
        revision: the number of the revision that was asked for in place of the current one, if any.
    """

    spec: ModelSpec[T]
    head: Head
    revision: int | None = None

    @property
    def data_json(self) -> bytes:
        """The data as stored."""
        if self.head.data is None:
            raise LookupError("a storage hands out heads with their data")
        return self.head.data

    @property
    def data(self) -> T:
        """The data as a value of the model. Raises Pydantic's ValidationError where the model has changed since."""
        return self.spec.decode(self.data_json)

    @property
    def meta(self) -> ResourceMeta:
        """Where the resource stands."""
        return ResourceMeta.model_validate_json(self.head.meta)

    @property
    def revision_info(self) -> RevisionInfo:
        """The current revision, or the one that was asked for."""
        return RevisionInfo.model_validate_json(self.head.revision_info)

    @property
    def resource_id(self) -> str:
        """The resource's id."""
        return self.head.resource_id

    @property
    def tag(self) -> str:
        """The opaque tag of this state, for a later precondition; a revision's own fits no write."""
        return self.head.tag if self.revision is None else f"{self.head.tag}.{self.revision}"


@dataclass(frozen=True, slots=True)
class ResourcePage(Generic[T]):
    """One page of a list; `next_cursor` leads to the following one, None on the last."""

    items: list[Resource[T]]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """One page of a resource's revisions, newest first; `data` has their stored JSON where it was asked for."""

    items: list[RevisionInfo]
    data: list[bytes]
    next_cursor: str | None
