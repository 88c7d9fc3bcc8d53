"""Index values of stored data of any schema version."""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.versions.upgrade import NewerVersion, UpgradeError

if TYPE_CHECKING:
    from autocrud.schema.model_spec import ModelSpec

logger = logging.getLogger(__name__)

_REPORT_SECONDS = 60.0


class StoredIndex:
    """Computes index values of stored data, which is upgraded first if its schema version differs from the model's.

    Data that cannot be upgraded has null in all index columns. It is counted for a report, and stops nothing.

    Attributes:
        unfit_fields: fields with a conversion error, collected by `stored_values`. The caller clears them.
        newer_versions: schema versions without a known downgrade whose data was met.
    """

    def __init__(self, spec: "ModelSpec[Any]") -> None:
        self.unfit_fields: set[IndexField] = set()
        self.newer_versions: set[int] = set()
        self._spec = spec
        self._unreadable: dict[str, str] = {}  # the first one
        self._count = 0
        self._reported_at: float | None = None

    def is_current(self, version: int) -> bool:
        """Return True if data of this schema version needs no upgrade."""
        return version == self._spec.schema.version

    def data(self, resource_id: str, data: bytes, version: int) -> bytes | None:
        """Return stored data in the model's version; None if it cannot be upgraded."""
        try:
            return self._spec.upgrader.upgrade(data, version)
        except UpgradeError as error:
            reason = f"{error.step}: {error}" if error.step else str(error)
        except NewerVersion as error:
            reason = str(error)
            self.newer_versions.add(version)
        self._unreadable = self._unreadable or {resource_id: reason}
        self._count += 1
        return None

    def values(
        self, resource_id: str, data: bytes, version: int, fields: Sequence[IndexField] | None = None
    ) -> tuple[IndexValue, ...]:
        """Return the index values for stored data.

        Args:
            fields: the fields to return values for; all index fields if None.

        Raises:
            InvalidData: a value does not fit its column.
        """
        if version == self._spec.schema.version:
            return self._spec.index_values(data, fields)
        upgraded = self.data(resource_id, data, version)
        if upgraded is None:
            return (None,) * len(self._spec.index_fields if fields is None else fields)
        return self._spec.index_values(upgraded, fields)

    def stored_values(self, resource_id: str, data: bytes, version: int) -> tuple[IndexValue, ...]:
        """Return the index values for stored data. A value that does not fit its column is null."""
        index, unfit = self._spec.stored_values(self.data(resource_id, data, version))
        self.unfit_fields.update(unfit)
        return index

    def reset(self) -> None:
        """Forget the data that could not be upgraded, because it is upgraded again."""
        self._unreadable, self._count = {}, 0
        self.newer_versions.clear()

    def report(self) -> None:
        """Log one warning about the data that could not be upgraded since the last report, at most once a minute."""
        now = monotonic()
        if not self._count or (self._reported_at is not None and now < self._reported_at + _REPORT_SECONDS):
            return
        ((resource_id, reason),) = self._unreadable.items()
        logger.warning(
            "%s: filters do not find %d resources or revisions whose data cannot be upgraded, the first of them %r: %s",
            self._spec.name, self._count, resource_id, reason,
        )  # fmt: skip
        self._unreadable, self._count, self._reported_at = {}, 0, now
