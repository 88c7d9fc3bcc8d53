"""VersionReader: hands out stored data of any schema version in the model's version."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from autocrud.errors import NewerSchema, Unreadable
from autocrud.resource import RevisionInfo
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.upgrade import NewerVersion, UpgradeError
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.types import Head, Write

# In JSON text a quote is escaped, so this stands in metadata only as the name of the member.
_VERSION = re.compile(rb'"schema_version":(\d+)')
_SIZE = re.compile(rb'"size":(\d+)')


class VersionReader:
    """Upgrades the data that one model's storage reads. The stored bytes stay.

    Args:
        learn: tells the spec's upgrader how data of a newer version is read, if the store knows it.

    Attributes:
        verifies: True if the model was changed without a new version, so that data of its own version may not fit. Each
            read then checks the data.
    """

    def __init__(self, spec: ModelSpec[Any], learn: Callable[[int], Awaitable[None]] | None = None) -> None:
        self._spec = spec
        self._learn = spec.upgrader.learn = learn
        self.verifies = False
        self._own_version = b'"schema_version":%d,' % spec.schema.version

    def is_current(self, head: Head) -> bool:
        """Return True if the data of a head needs no upgrade, and no check."""
        return (self._own_version in head.revision_info and not self.verifies) or head.data is None

    async def head(self, head: Head) -> Head:
        """Return a head with its data in the model's version.

        If the data cannot be read, `fault` is the reason. `data` is then None, unless it is of the model's version.
        """
        data = head.data
        if data is None or self.is_current(head):
            return head
        try:
            upgraded = await self._upgrade(data, head_version(head), head.resource_id)
            return head if upgraded == data else replace(head, data=upgraded, stored=data)
        except UpgradeError as error:
            revision_id = RevisionInfo.model_validate_json(head.revision_info).revision_id
            # Data of the own version keeps its references and its place in an order, and a patch may repair the data.
            is_own = self._own_version in head.revision_info
            fault = self._as_unreadable(error, revision_id, lacks_fields=is_own and error.lacks_fields)
            return replace(head, data=data if is_own else None, stored=data, fault=fault)
        except NewerSchema as error:
            return replace(head, data=None, stored=data, fault=error)

    async def heads(self, heads: Sequence[Head]) -> list[Head]:
        """Return heads as `head` does. Upgrades of many heads give other tasks their turns."""
        own_version = self._own_version
        # Without a call per head, because most pages hold current data alone.
        if not self.verifies and all(own_version in head.revision_info for head in heads):
            return list(heads)
        found, time_slice = list[Head](), TimeSlice()
        for head in heads:
            if not self.is_current(head):
                await time_slice.check()
                head = await self.head(head)
            found.append(head)
        return found

    def refuse(self, write: Write) -> NewerSchema | None:
        """Return the refusal of a write to a resource of a newer version; None if the write may go on."""
        meta, own_version = write.meta, self._spec.schema.version
        if meta.schema_version <= own_version:
            return None
        return NewerSchema(self._spec.name, meta.resource_id, meta.schema_version, own_version)

    async def data(self, data: bytes, version: int, revision_id: str) -> bytes:
        """Return the data of a revision in the model's version.

        Raises:
            Unreadable: the data cannot be upgraded.
            NewerSchema: the data has a newer version, which has no downgrade.
        """
        try:
            return await self._upgrade(data, version, revision_id.rpartition(":")[0])
        except UpgradeError as error:
            raise self._as_unreadable(error, revision_id) from error

    async def _upgrade(self, data: bytes, version: int, resource_id: str) -> bytes:
        upgrader = self._spec.upgrader
        if version == upgrader.version:
            return upgrader.fit(data) if self.verifies else data
        try:
            return upgrader.upgrade(data, version)
        except NewerVersion:
            if self._learn is not None:
                await self._learn(version)
        try:
            return upgrader.upgrade(data, version)
        except NewerVersion as error:
            raise NewerSchema(self._spec.name, resource_id, version, upgrader.version) from error

    def _as_unreadable(self, error: UpgradeError, revision_id: str, *, lacks_fields: bool = False) -> Unreadable:
        return Unreadable(self._spec.name, revision_id, error.step, error.field, str(error), lacks_fields=lacks_fields)


def head_version(head: Head) -> int:
    """Return the schema version that the data of a head was stored with."""
    return _number(_VERSION, head)


def head_size(head: Head) -> int:
    """Return the size of the stored data of a head in bytes, also if the data is not loaded."""
    return _number(_SIZE, head)


def _number(member: re.Pattern[bytes], head: Head) -> int:
    found = member.search(head.revision_info)
    if found is None:
        raise LookupError("a head has the information about its revision")
    return int(found[1])
