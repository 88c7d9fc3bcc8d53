"""Types of uploads: the media types and file names that a blob was uploaded with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UploadedType:
    """Media type and file name that a client sent with an upload of a blob.

    Attributes:
        by: user who uploaded it; None if nobody was signed in.
    """

    content_type: str
    filename: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class UploadedTypes:
    """All types that a blob was uploaded with, the last upload last.

    Attributes:
        is_complete: False if the blob may have been uploaded with other types, which nobody noted.
    """

    types: tuple[UploadedType, ...]
    is_complete: bool

    def accepts(self, content_type: str) -> bool:
        """Return True if the blob may be served as a media type. Parameters and case do not count."""
        uploaded = {_media_type(item.content_type) for item in self.types}
        return not self.is_complete or _media_type(content_type) in uploaded


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
