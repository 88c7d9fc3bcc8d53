"""Start check: compares each model with the record of its schema version, and publishes the record."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.manager.schema_check.readability import MAX_IDS, SAMPLE_SECONDS, Readability, read_all, read_sample
from autocrud.query.conditions import Query, Term
from autocrud.query.metadata_fields import META_FIELDS
from autocrud.query.operators import Operator
from autocrud.resource import timestamp
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.fingerprint import fingerprint_of
from autocrud.schema.versions.fingerprint_changes import FieldChange, find_changes
from autocrud.schema.versions.suggested_step import suggested_code
from autocrud.storage.ports.schema_records import SchemaRecord, VersionRecord
from autocrud.storage.ports.storage import IStorage

logger = logging.getLogger(__name__)

_SCHEMA_VERSION = next(field for field in META_FIELDS if field.name == "schema_version")


class OnSchemaChange(StrEnum):
    """Reaction to a model that differs from the record of its schema version."""

    warn = "warn"
    refuse = "refuse"


def check_reaction(value: str) -> OnSchemaChange:
    """Return the argument `on_schema_change` of `AutoCRUD`.

    Raises:
        ConfigurationError: the argument has another value.
    """
    if value not in list(OnSchemaChange):
        raise ConfigurationError(f"on_schema_change={value!r} must be one of {', '.join(OnSchemaChange)}")
    return OnSchemaChange(value)


class StartCheck:
    """Check of one model at the start, before the first write."""

    def __init__(self, spec: ModelSpec[Any], storage: IStorage, reaction: OnSchemaChange) -> None:
        self._spec = spec
        self._storage = storage
        self._reaction = reaction
        self._has_warned = False
        self._has_gap = False

    async def run(self) -> None:
        """Log how the model differs from its record, and publish the record of this process.

        Raises:
            ConfigurationError: the model differs in a way that data can notice, and the reaction is to refuse.
        """
        spec, records = self._spec, self._storage.schemas
        version, record = spec.schema.version, await records.read()
        current = VersionRecord(timestamp(datetime.now(UTC)), fingerprint_of(spec.adapter), _downgrades_json(spec))
        stored = record.versions.get(version)
        changes = find_changes(stored.fingerprint, current.fingerprint) if stored else []
        if stored and changes:
            await self._report(stored, changes)
        # The fingerprint stays after a warning, so that each start says it again.
        await records.publish(version, current, replaces_fingerprint=not self._has_warned)
        self._report_other_versions(record)

    async def run_in_background(self) -> None:
        """Read all resources of a model that has changed, and log the result once."""
        try:
            if self._has_gap:
                await self._report_gap()
            if self._has_warned:
                result = await read_all(self._spec, self._storage)
                level = logging.WARNING if result.unreadable else logging.INFO
                logger.log(level, "%s: of all %d stored resources, %s", self._spec.name, result.total, result)
        except Exception:  # the task's boundary: the service goes on
            logger.exception("%s: the check of stored resources failed", self._spec.name)

    @property
    def is_unfinished(self) -> bool:
        """True if there is something to do in the background."""
        return self._has_warned or self._has_gap

    async def _report(self, stored: VersionRecord, changes: Sequence[FieldChange]) -> None:
        sample = await read_sample(self._spec, self._storage)
        text = "; ".join(map(str, changes))
        is_noticed = any(change.is_noticed for change in changes) and not sample.is_empty
        if not sample.unreadable and not (is_noticed and await self._has_resources_of_version()):
            logger.info("%s: the model has changed, and all stored data fit: %s", self._spec.name, text)
            return
        message = self._message(stored, changes, sample)
        if self._reaction is OnSchemaChange.refuse:
            raise ConfigurationError(message)
        self._has_warned = True
        self._storage.versions.verifies = True
        logger.warning(message)

    async def _has_resources_of_version(self) -> bool:
        """Return False if all resources are of other versions, so that only the steps meet them."""
        query = Query(Term(_SCHEMA_VERSION, Operator.eq, self._spec.schema.version), include_deleted=True, limit=1)
        try:
            async with asyncio.timeout(SAMPLE_SECONDS):
                return bool((await self._storage.search(query)).items)
        except TimeoutError:
            return True

    def _message(self, stored: VersionRecord, changes: Sequence[FieldChange], sample: Readability) -> str:
        spec = self._spec
        version = spec.schema.version
        result = f"Of the newest {sample.total} resources, {sample}" if sample.total else "No resource was read in time"
        return (
            f"{spec.name}: the model differs from the schema version {version} of {stored.first_seen}:"
            f" {'; '.join(map(str, changes))}. {result}. Raise the version, and add a step for older data:"
            f" {suggested_code(spec.type_name, spec.schema, changes)}"
        )

    def _report_other_versions(self, record: SchemaRecord) -> None:
        spec, version = self._spec, self._spec.schema.version
        newest = max(record.versions, default=version)
        if newest > version:
            spec.upgrader.newer_versions.update(other for other in record.versions if other > version)
            logger.info(
                "%s: this process has schema version %d, and the store has version %d. Writes to resources of newer"
                " versions are refused.",
                spec.name,
                version,
                newest,
            )
        self._has_gap = any(older < spec.schema.oldest for older in record.versions)

    async def _report_gap(self) -> None:
        """Warn of resources whose version has no path to the model's version."""
        spec, oldest = self._spec, self._spec.schema.oldest
        is_older = Term(_SCHEMA_VERSION, Operator.lt, oldest)
        try:
            page = await self._storage.search(Query(is_older, include_deleted=True, limit=MAX_IDS))
        except StorageUnavailable as error:
            logger.warning(
                "%s: resources of schema versions below %d were not looked for: %s", spec.name, oldest, error
            )
            return
        if page.items:
            ids = ", ".join(repr(head.resource_id) for head in page.items)
            logger.warning(
                "%s: there are resources of schema versions below %d, the oldest one with a path of steps, such as %s."
                " They can be read raw only. Add the steps, and lower oldest=.",
                spec.name,
                oldest,
                ids,
            )


async def finish_in_background(checks: Sequence[StartCheck]) -> None:
    """Finish the checks one after another."""
    for check in checks:
        await check.run_in_background()


def _downgrades_json(spec: ModelSpec[Any]) -> Mapping[int, Sequence[Any]]:
    return {version: [step.to_json() for step in steps] for version, steps in spec.schema.downgrades().items()}
