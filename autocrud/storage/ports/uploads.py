"""Sessions of uploads in parts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Upload:
    """Session of an upload in parts.

    Attributes:
        size: bytes of the complete blob.
        part_size: bytes of each part but the last.
        key: key of the object that will hold the bytes.
        undertaking: name of the multipart upload in the object store.
        content_type, filename: values for the reference to the blob.
        by: user who began the session; no other user may continue the session.
        expires: time in the format of `timestamp`.
        file_id: SHA-256 of the finished blob; None before.
    """

    upload_id: str
    size: int
    part_size: int
    key: str
    undertaking: str
    content_type: str
    filename: str | None
    by: str | None
    expires: str
    file_id: str | None = None

    @property
    def part_count(self) -> int:
        """Number of parts of the complete blob."""
        return -(-self.size // self.part_size)

    def size_of(self, number: int) -> int:
        """Return the size in bytes of a part. Numbers begin at 1."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)
