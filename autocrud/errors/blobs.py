"""Errors of blobs and uploads."""

from collections.abc import Sequence

from autocrud.errors.base import AutoCRUDError, enumerate_values


class BlobNotFound(AutoCRUDError):
    """No revision of the resource refers to this blob."""

    code = "blob_not_found"

    def __init__(self, resource_id: str, file_id: str) -> None:
        super().__init__(f"{resource_id!r} has no blob {file_id}.")


class RangeNotSatisfiable(AutoCRUDError):
    """Every requested range begins behind the end of the blob. `size` is the blob's length in bytes."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The blob is {size} bytes long.")
        self.size = size


class UploadNotFound(AutoCRUDError):
    """The caller has no such upload, or it expired: start a new upload."""

    code = "upload_not_found"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"The upload {upload_id!r} does not exist; it may have expired.")


class UploadIncomplete(AutoCRUDError):
    """Parts of the upload are missing: send them, then finish the upload again."""

    code = "upload_incomplete"

    def __init__(self, upload_id: str, missing: Sequence[int]) -> None:
        super().__init__(f"The upload {upload_id!r} lacks these parts: {enumerate_values(missing)}.")
        self.missing = tuple(missing)
