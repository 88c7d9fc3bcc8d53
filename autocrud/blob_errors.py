"""What can go wrong with blobs and uploads; see `autocrud.errors`."""

from collections.abc import Sequence

from autocrud.errors import AutoCRUDError

_MAX_NAMES_IN_MESSAGE = 10


class BlobNotFound(AutoCRUDError):
    """No revision of the resource refers to such a blob."""

    code = "blob_not_found"

    def __init__(self, resource_id: str, file_id: str) -> None:
        super().__init__(f"{resource_id!r} has no blob {file_id}.")


class RangeNotSatisfiable(AutoCRUDError):
    """The blob ends before all of the ranges that were asked for; `size` is its length."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The blob is {size} bytes long.")
        self.size = size


class UploadNotFound(AutoCRUDError):
    """There is no such upload of this caller, or no longer: begin again."""

    code = "upload_not_found"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"There is no upload {upload_id!r}; it may have expired.")


class UploadIncomplete(AutoCRUDError):
    """An upload cannot be finished: send the parts that are missing."""

    code = "upload_incomplete"

    def __init__(self, upload_id: str, missing: Sequence[int]) -> None:
        shown = ", ".join(map(str, missing[:_MAX_NAMES_IN_MESSAGE])) + (
            ", …" if len(missing) > _MAX_NAMES_IN_MESSAGE else ""
        )
        super().__init__(f"Of the upload {upload_id!r} these parts are missing: {shown}.")
        self.missing = tuple(missing)
