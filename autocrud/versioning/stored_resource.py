"""Stored resources: results of a manager, as stored JSON that is parsed on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, TypeVar

from autocrud.errors import AutoCRUDError, Unreadable
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head, PartialHead

T = TypeVar("T")

TAG_SEPARATOR = "+"  # between the version and the shown form
_DIGITS = 16


@dataclass(slots=True, repr=False)
class Resource(Generic[T]):
    """A resource as it was read.

    Attributes:
        revision: number of the requested revision, or None for the current one.
        is_new: True if the call that returned the resource created it.
    """

    spec: ModelSpec[T]
    head: Head
    revision: int | None = None
    _answer: bytes | None = field(default=None, compare=False, repr=False)
    is_new: bool = field(default=False, compare=False)
    _meta: ResourceMeta | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        revision = "" if self.revision is None else f", revision {self.revision}"
        deleted = ", deleted" if self.head.is_deleted else ""
        return f"<Resource {self.spec.name} {self.head.resource_id!r}, version {self.head.version}{revision}{deleted}>"

    @property
    def data_json(self) -> bytes:
        """Stored form of the data, in the schema version of the model.

        Raises:
            Unreadable: the stored data cannot be upgraded.
            NewerSchema: the stored data has a newer version, which has no downgrade.
        """
        if self.hidden_by is not None:
            raise self.hidden_by
        if self.head.data is None:
            raise LookupError("a storage hands out heads with their data")
        return self.head.data

    @property
    def is_shown_in_part(self) -> bool:
        """True if the data lacks required fields of a changed model, so that the rest is shown with a problem."""
        fault = self.head.fault
        return isinstance(fault, Unreadable) and fault.lacks_fields and self.head.data is not None

    @property
    def hidden_by(self) -> AutoCRUDError | None:
        """The reason why the data cannot be shown, not even in part; None if the data can be shown, or was pruned."""
        return None if self.is_shown_in_part else self.head.fault

    @property
    def stored_json(self) -> bytes:
        """Data as it is stored, in the schema version that it was written with."""
        return self.data_json if self.head.stored is None else self.head.stored

    @property
    def is_partial(self) -> bool:
        """True if the data lacks fields that the reader may not see. `data` may then raise an error."""
        return isinstance(self.head, PartialHead)

    @property
    def shown_json(self) -> bytes:
        """JSON of the data as clients see it."""
        if self._answer is None:
            # Computed fields of partial data could tell values that the reader may not see.
            show = self.spec.show_names if self.is_partial else self.spec.show
            self._answer = show(self.data_json)
        return self._answer

    @property
    def data(self) -> T:
        """Data as a value of the model. Raises Pydantic's ValidationError if the model has changed since."""
        return self.spec.decode(self.data_json)

    @property
    def meta(self) -> ResourceMeta:
        """Metadata of the resource."""
        if self._meta is None:
            self._meta = ResourceMeta.model_validate_json(self.head.meta)
        return self._meta

    @property
    def revision_info(self) -> RevisionInfo:
        """Information about the current or requested revision."""
        return RevisionInfo.model_validate_json(self.head.revision_info)

    @property
    def resource_id(self) -> str:
        """Id of the resource."""
        return self.head.resource_id

    @property
    def tag(self) -> str:
        """Opaque tag of this version, for a later precondition. The tag of an old revision matches no write."""
        return self.head.tag if self.revision is None else f"{self.head.tag}.{self.revision}"

    @property
    def etag(self) -> str:
        """Opaque tag of the version and of its shown form, so that a change of the model's names changes the tag.

        A later precondition compares the part of the version only.
        """
        is_copied = self.head.stored is None and (self.spec.stored_form.is_shown or self.is_partial)
        if is_copied or self.head.data is None:
            return self.tag
        return f"{self.tag}{TAG_SEPARATOR}{sha256(self.shown_json).hexdigest()[:_DIGITS]}"

    @property
    def raw_etag(self) -> str:
        """Opaque tag of the version with its data as stored. A later precondition compares the version only."""
        return f"{self.tag}{TAG_SEPARATOR}raw"


@dataclass(frozen=True, slots=True)
class ResourcePage(Generic[T]):
    """A page of a list. `next_cursor` leads to the next page and is None on the last one.

    Attributes:
        expanded: referred resources of each item by field, if the search expands references.
    """

    items: list[Resource[T]]
    next_cursor: str | None
    expanded: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class RevisionPage(Generic[T]):
    """A page of a resource's revisions, newest first. `resources` has each with its data if it was requested."""

    items: list[RevisionInfo]
    resources: list[Resource[T]]
    next_cursor: str | None

    @property
    def data(self) -> list[bytes]:
        """Stored form of each revision's data, in the schema version of the model.

        Raises:
            Unreadable, NewerSchema: the data of a revision cannot be read.
        """
        return [resource.data_json for resource in self.resources]
