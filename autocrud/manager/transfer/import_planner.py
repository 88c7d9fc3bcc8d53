"""Import planner: turns lines into writes, depending on the resource that has their id."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from uuid_utils import uuid7

from autocrud.errors import (
    AlreadyExists,
    AutoCRUDError,
    FieldError,
    InvalidData,
    InvalidInput,
    InvalidParameter,
    RevisionNotFound,
    Unreadable,
)
from autocrud.manager.transfer.exported_versions import exported_parts
from autocrud.manager.transfer.line_format import Line
from autocrud.manager.transfer.metadata_checks import faults_of_step
from autocrud.resource import CommitKind, ResourceMeta, revision_number
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Commit, Head, Write, commit_of
from autocrud.versioning.write_builder import Author, Encoded, create_write, import_writes, purge_write, replay_write


class OnDuplicate(StrEnum):
    """Handling of a line whose id belongs to a resource that differs from the line."""

    error = "error"
    skip = "skip"
    overwrite = "overwrite"
    new_revision = "new_revision"


class Fate(StrEnum):
    """Result of an imported line."""

    created = "created"
    updated = "updated"
    overwritten = "overwritten"
    unchanged = "unchanged"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """A line and its writes."""

    line: Line
    writes: list[Write]


@dataclass(slots=True)
class Plan:
    """Plan for the lines of one resource.

    Attributes:
        fate: result of a line whose writes are accepted.
        steps: lines with their writes, in order.
        before: a purge that precedes the writes of an overwrite.
        atomic: commit all writes of the plan, or none.
        settled: number of lines without writes, by result.
        refused: numbers and errors of refused lines.
        replaced: a head, and the line to append to it as a revision.
    """

    fate: Fate = Fate.created
    steps: list[Step] = field(default_factory=list)
    before: list[Write] = field(default_factory=list)
    atomic: bool = False
    settled: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, AutoCRUDError]] = field(default_factory=list)
    replaced: tuple[Head, Line] | None = None

    @property
    def writes(self) -> list[Write]:
        """All writes of the plan, in order."""
        return [*self.before, *(write for step in self.steps for write in step.writes)]

    @property
    def is_state(self) -> bool:
        """Return True if the plan imports a current state and overwrites nothing."""
        return not self.atomic and bool(self.steps) and self.steps[0].line.kind is None

    def refuse(self, lines: Sequence[Line], error: AutoCRUDError) -> "Plan":
        """Refuse these lines with an error, and return the plan."""
        self.refused += [(line.number, error) for line in lines]
        return self


class Planner:
    """Makes the plans of one import.

    Args:
        by: user who imports, or None.
    """

    def __init__(self, spec: ModelSpec[Any], storage: IStorage, on_duplicate: OnDuplicate, by: str | None) -> None:
        self._spec = spec
        self._storage = storage
        self._on_duplicate = on_duplicate
        self._by = by
        # Id of the resource whose last commits were refused or skipped. Its later commits get the same result,
        # because they would follow a commit that is missing.
        self._stopped_id = ""

    async def plan(self, lines: Sequence[Line], head: Head | None, is_open: bool) -> Plan:
        """Return the plan for the lines of one resource.

        Args:
            head: current state of the resource with this id, or None.
            is_open: the last revision of the lines has no data.
        """
        try:
            if lines[0].kind is None:
                return self._plan_state(lines[0], head)
            if is_open:
                error = InvalidData("The history has no data.", [FieldError("data", "is required for the last commit")])
                return Plan().refuse(lines, error)
            return await self._plan_history(lines, head)
        except InvalidInput as error:  # a value does not fit an index column
            return Plan().refuse(lines, error)

    def _plan_state(self, line: Line, head: Head | None) -> Plan:
        writes = self._state_writes(line)
        if head is None:
            return Plan(steps=[Step(line, writes)])
        if line.meta is None:
            same = not head.is_deleted and head.data == writes[0].data
        else:
            parts = (writes[-1].meta_json, writes[0].revision_json)
            # The line may have the data as stored, or as an export upgrades it.
            same = parts in ((head.meta, head.revision_info), exported_parts(head, self._spec.schema.version)[:2])
        if same:
            return Plan(settled=Counter({Fate.unchanged: 1}))
        if (head.meta, head.revision_info) == (writes[0].meta_json, writes[0].revision_json):
            return Plan(steps=[Step(line, writes[1:])])  # an earlier import was cut off after the first of two writes
        if self._on_duplicate is OnDuplicate.new_revision:
            return Plan(replaced=(head, line))
        return self._plan_duplicate([Step(line, writes)], head)

    def _state_writes(self, line: Line) -> list[Write]:
        if line.encoded is None:
            raise TypeError("a state has data")
        if line.meta is not None and line.revision is not None:
            return import_writes(self._spec, line.meta, line.revision, line.encoded)
        author, resource_id = Author(self._by, datetime.now(UTC)), line.resource_id or str(uuid7())
        return [create_write(self._spec, resource_id, line.encoded, author, self._spec.default_status, None)]

    def _plan_duplicate(self, steps: Sequence[Step], head: Head) -> Plan:
        """Return the plan for an id that is taken. An overwrite purges the resource with its history."""
        lines = [step.line for step in steps]
        if self._on_duplicate is OnDuplicate.skip:
            return Plan(settled=Counter({Fate.skipped: len(lines)}))
        if self._on_duplicate is OnDuplicate.new_revision:
            return Plan().refuse(lines, InvalidParameter("on_duplicate", "new_revision cannot be used for histories"))
        if self._on_duplicate is OnDuplicate.error or steps[0].writes[0].kind is not CommitKind.create:
            return Plan().refuse(lines, AlreadyExists(head.resource_id))
        meta = ResourceMeta.model_validate_json(head.meta)
        # The purge must spare the blobs that the imported revisions refer to.
        spared_blobs = {file_id for step in steps for write in step.writes for file_id in write.blobs}
        purge = purge_write(meta, Author(self._by, max(datetime.now(UTC), meta.updated_time)), sorted(spared_blobs))
        return Plan(Fate.overwritten, list(steps), [purge], atomic=True)

    async def _plan_history(self, lines: Sequence[Line], head: Head | None) -> Plan:
        resource_id = lines[0].resource_id or ""
        is_stopped, self._stopped_id = self._stopped_id == resource_id, ""
        steps, error = self._replay_steps(lines)
        if error is not None and not steps:
            return Plan().refuse(lines, error)
        existing = [step for step in steps if head is not None and step.writes[0].meta.version <= head.version]
        if head is not None and (is_stopped or not await self._are_stored(existing, head)):
            plan = self._plan_duplicate(steps, head)
            self._stopped_id = resource_id
        else:
            plan = Plan(settled=Counter({Fate.unchanged: len(existing)}), steps=steps[len(existing) :])
        await self._check_sequence(plan, None if plan.before else head)
        if error is not None:
            plan.refuse(lines[len(steps) :], error)
            _cut(plan, len(plan.steps), error)
        if plan.before:
            self._stopped_id = ""
        plan.atomic |= any(write.revision is not None and write.data is None for write in plan.writes)
        return plan

    def _replay_steps(self, lines: Sequence[Line]) -> tuple[list[Step], InvalidInput | None]:
        """Return the steps of the lines before the first invalid line, and that line's error or None."""
        steps: list[Step] = []
        for line in lines:
            try:
                steps.append(Step(line, [_replay(self._spec, line)]))
            except InvalidInput as error:  # a value does not fit an index column
                return steps, error
        return steps, None

    async def _are_stored(self, steps: Sequence[Step], head: Head) -> bool:
        """Return True if each of these commits is stored exactly as its line says."""
        if not steps:
            return True
        last = steps[-1].writes[0].meta.version
        found = await self._storage.commits(head.resource_id, before=last + 1, limit=len(steps))
        stored_commits = {commit.version: commit for commit in found}
        return all([await self._is_same(step, head, stored_commits) for step in steps])

    async def _is_same(self, step: Step, head: Head, stored_commits: dict[int, Commit]) -> bool:
        """Return True if the step's commit is stored as its line says, or as an export upgrades it."""
        write = step.writes[0]
        commit = stored_commits.get(write.meta.version)
        if commit is None:
            return False
        if commit.schema_version < write.meta.schema_version:
            commit = await self._upgraded(commit)
        meta = ResourceMeta.model_validate_json(head.meta)
        has_same_origin = (write.meta.created_time, write.meta.created_by) == (meta.created_time, meta.created_by)
        return has_same_origin and commit_of(write, commit.locator) == commit

    async def _upgraded(self, commit: Commit) -> Commit:
        """Return a commit as an export of upgraded data describes it."""
        version = self._spec.schema.version
        if commit.data_hash is None or commit.locator is None:
            return replace(commit, schema_version=version)
        try:
            data = await self._storage.data(commit)
            data = await self._storage.versions.data(data, commit.schema_version, commit.revision_id)
        except (RevisionNotFound, Unreadable):
            return commit
        data_hash = f"sha256:{sha256(data).hexdigest()}"
        return replace(commit, schema_version=version, data_hash=data_hash, size=len(data))

    async def _check_sequence(self, plan: Plan, head: Head | None) -> None:
        """Refuse a commit that cannot follow the commit before it, and all later commits."""
        before = None if head is None else ResourceMeta.model_validate_json(head.meta)
        origins: dict[str, Any] = {}
        for place, step in enumerate(plan.steps):
            write = step.writes[0]
            errors = await self._find_faults(write, before, origins)
            if errors:
                _cut(plan, place, InvalidData("The commit does not follow the commit before it.", errors))
                return
            before = write.meta

    async def _find_faults(
        self, write: Write, before: ResourceMeta | None, origins: dict[str, Any]
    ) -> list[FieldError]:
        """Return the faults of a commit. `origins` collects creation time and author of each revision."""
        if before is None:
            is_first = write.kind is CommitKind.create
            return [] if is_first else [FieldError("kind", "must be create, because the resource does not exist")]
        errors = list(faults_of_step(write.kind, before, write.meta))
        if errors or write.revision is None:
            return errors
        revision_id, times = write.revision.revision_id, (write.revision.created_time, write.revision.created_by)
        if write.kind is CommitKind.update:
            origins[revision_id] = times
        elif revision_id not in origins:
            number = revision_number(write.meta.resource_id, revision_id)
            found = await self._storage.revision(write.meta.resource_id, number)
            origins[revision_id] = times if found is None else (found.info.created_time, found.info.created_by)
        if origins[revision_id] != times:
            errors.append(FieldError("revision_info.created_time", "and created_by must equal those of the revision"))
        return errors


def _cut(plan: Plan, place: int, error: AutoCRUDError) -> None:
    """Refuse the steps from a place on. Refuse all steps of an overwrite, because a part must not overwrite."""
    place = 0 if plan.before else place
    refused, plan.steps, plan.before = plan.steps[place:], plan.steps[:place], []
    plan.refuse([step.line for step in refused], error)


def _replay(spec: ModelSpec[Any], line: Line) -> Write:
    if line.meta is None or line.kind is None:
        raise TypeError("a commit has metadata")
    encoded: Encoded | None = line.encoded
    follows = 0 if line.kind is CommitKind.create else line.meta.version - 1
    return replay_write(spec, line.kind, follows, line.meta, line.revision, encoded)
