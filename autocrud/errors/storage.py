"""Errors of backends."""

from autocrud.errors.base import AutoCRUDError


class StorageUnavailable(AutoCRUDError):
    """A backend does not answer, is full or is too slow: the same request may succeed later."""

    code = "storage_unavailable"


class IndexNotReady(StorageUnavailable):
    """An index field that was added to the model is still being filled: query it later, or query other fields.

    Args:
        percent: share of resources that are filled; None if stored data does not fit the field and needs an operator.
    """

    code = "index_not_ready"

    def __init__(self, model: str, field: str, percent: int | None) -> None:
        state = "stored data does not fit it; the log names the resource" if percent is None else f"{percent} % done"
        super().__init__(f"The index field {field} of {model} is not filled yet: {state}.")
        self.field = field
        self.percent = percent


class Overloaded(StorageUnavailable):
    """More is asked for than can be answered in time. Nothing was done: the same request may succeed in a moment."""

    code = "overloaded"


class DataCorrupted(AutoCRUDError):
    """Stored bytes are not the bytes that were written. An operator has to restore them."""

    code = "data_corrupted"
