"""Planner: which writes a line comes to, by what stands under its id."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from uuid_utils import uuid7

from autocrud.errors import AlreadyExists, AutoCRUDError, FieldError, InvalidData, InvalidInput, InvalidParameter
from autocrud.manager.transfer.line_format import Line
from autocrud.manager.transfer.metadata_checks import faults_of_step
from autocrud.resource import CommitKind, ResourceMeta, revision_number
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Commit, Head, Write, commit_of
from autocrud.versioning.write_builder import Author, Encoded, create_write, import_writes, purge_write, replay_write


class OnDuplicate(StrEnum):
    """What becomes of a line whose id is taken, by something else than the line brings."""

    error = "error"
    skip = "skip"
    overwrite = "overwrite"
    new_revision = "new_revision"


class Fate(StrEnum):
    """What became of a line."""

    created = "created"
    updated = "updated"
    overwritten = "overwritten"
    unchanged = "unchanged"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """A line, and the writes that it comes to."""

    line: Line
    writes: list[Write]


@dataclass(slots=True)
class Plan:
    """What is to be done for the lines about one resource.

    Attributes:
        fate: of the lines whose writes are accepted.
        before: a write that goes before theirs.
        atomic: whether all of it is to be done, or none.
        settled, refused: lines for which nothing is to be done.
        replaced: what a line is to become a revision of.
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
        """All writes, in order."""
        return [*self.before, *(write for step in self.steps for write in step.writes)]

    @property
    def is_state(self) -> bool:
        """Whether it brings a current state, and overwrites nothing."""
        return not self.atomic and bool(self.steps) and self.steps[0].line.kind is None

    def refuse(self, lines: Sequence[Line], error: AutoCRUDError) -> "Plan":
        """Do nothing for these lines."""
        self.refused += [(line.number, error) for line in lines]
        return self


class Planner:
    """Plans for one import.

    Args:
        by: who imports.
    """

    def __init__(self, spec: ModelSpec[Any], storage: IStorage, on_duplicate: OnDuplicate, by: str | None) -> None:
        self._spec = spec
        self._storage = storage
        self._on_duplicate = on_duplicate
        self._by = by
        # The resource whose last commits were refused or skipped: those that follow are, too.
        self._stopped = ""

    async def plan(self, lines: Sequence[Line], head: Head | None, is_open: bool) -> Plan:
        """The plan for lines about one resource.

        Args:
            head: what stands under their id.
            is_open: whether they end with a revision without data.
        """
        try:
            if lines[0].kind is None:
                return self._state(lines[0], head)
            if is_open:
                error = InvalidData("The history has no data.", [FieldError("data", "must be there for the last one")])
                return Plan().refuse(lines, error)
            return await self._history(lines, head)
        except InvalidInput as error:  # a value that no index takes
            return Plan().refuse(lines, error)

    def _state(self, line: Line, head: Head | None) -> Plan:
        writes = self._arrival(line)
        if head is None:
            return Plan(steps=[Step(line, writes)])
        if line.meta is None:
            same = not head.is_deleted and head.data == writes[0].data
        else:
            same = (head.meta, head.revision_info) == (writes[-1].meta_json, writes[0].revision_json)
        if same:
            return Plan(settled=Counter({Fate.unchanged: 1}))
        if (head.meta, head.revision_info) == (writes[0].meta_json, writes[0].revision_json):
            return Plan(steps=[Step(line, writes[1:])])  # the first of two, after which an import was cut off
        if self._on_duplicate is OnDuplicate.new_revision:
            return Plan(replaced=(head, line))
        return self._duplicate([Step(line, writes)], head)

    def _arrival(self, line: Line) -> list[Write]:
        if line.encoded is None:
            raise TypeError("a state has data")
        if line.meta is not None and line.revision is not None:
            return import_writes(self._spec, line.meta, line.revision, line.encoded)
        author, resource_id = Author(self._by, datetime.now(UTC)), line.resource_id or str(uuid7())
        return [create_write(self._spec, resource_id, line.encoded, author, self._spec.default_status, None)]

    def _duplicate(self, steps: Sequence[Step], head: Head) -> Plan:
        """For an id that is taken. Where it is overwritten, its history goes with it."""
        lines = [step.line for step in steps]
        if self._on_duplicate is OnDuplicate.skip:
            return Plan(settled=Counter({Fate.skipped: len(lines)}))
        if self._on_duplicate is OnDuplicate.new_revision:
            return Plan().refuse(lines, InvalidParameter("on_duplicate", "new_revision is not for histories"))
        if self._on_duplicate is OnDuplicate.error or steps[0].writes[0].kind is not CommitKind.create:
            return Plan().refuse(lines, AlreadyExists(head.resource_id))
        meta = ResourceMeta.model_validate_json(head.meta)
        kept = {file_id for step in steps for write in step.writes for file_id in write.blobs}
        gone = purge_write(meta, Author(self._by, max(datetime.now(UTC), meta.updated_time)), sorted(kept))
        return Plan(Fate.overwritten, list(steps), [gone], atomic=True)

    async def _history(self, lines: Sequence[Line], head: Head | None) -> Plan:
        resource_id = lines[0].resource_id or ""
        stopped, self._stopped = self._stopped == resource_id, ""
        steps, error = self._replayed(lines)
        if error is not None and not steps:
            return Plan().refuse(lines, error)
        there = [step for step in steps if head is not None and step.writes[0].meta.version <= head.version]
        if head is not None and (stopped or not await self._stands(there, head)):
            plan = self._duplicate(steps, head)
            self._stopped = resource_id
        else:
            plan = Plan(settled=Counter({Fate.unchanged: len(there)}), steps=steps[len(there) :])
        await self._check(plan, None if plan.before else head)
        if error is not None:
            plan.refuse(lines[len(steps) :], error)
            _cut(plan, len(plan.steps), error)
        if plan.before:
            self._stopped = ""
        plan.atomic |= any(write.revision is not None and write.data is None for write in plan.writes)
        return plan

    def _replayed(self, lines: Sequence[Line]) -> tuple[list[Step], InvalidInput | None]:
        """The commits of lines, up to the first that cannot be made, and why that cannot."""
        steps: list[Step] = []
        for line in lines:
            try:
                steps.append(Step(line, [_replay(self._spec, line)]))
            except InvalidInput as error:  # a value that no index takes
                return steps, error
        return steps, None

    async def _stands(self, steps: Sequence[Step], head: Head) -> bool:
        """Whether all of these commits are there, as they are."""
        if not steps:
            return True
        last = steps[-1].writes[0].meta.version
        found = await self._storage.commits(head.resource_id, before=last + 1, limit=len(steps))
        known = {commit.version: commit for commit in found}
        return all(_is_same(step, head, known) for step in steps)

    async def _check(self, plan: Plan, head: Head | None) -> None:
        """Refuse what does not follow from what is before it, and all that is behind that."""
        before = None if head is None else ResourceMeta.model_validate_json(head.meta)
        made: dict[str, Any] = {}
        for place, step in enumerate(plan.steps):
            write = step.writes[0]
            errors = await self._faults(write, before, made)
            if errors:
                _cut(plan, place, InvalidData("The commit does not fit.", errors))
                return
            before = write.meta

    async def _faults(self, write: Write, before: ResourceMeta | None, made: dict[str, Any]) -> list[FieldError]:
        if before is None:
            is_first = write.kind is CommitKind.create
            return [] if is_first else [FieldError("kind", "must be create: there is nothing that it could follow")]
        errors = list(faults_of_step(write.kind, before, write.meta))
        if errors or write.revision is None:
            return errors
        revision_id, times = write.revision.revision_id, (write.revision.created_time, write.revision.created_by)
        if write.kind is CommitKind.update:
            made[revision_id] = times
        elif revision_id not in made:
            number = revision_number(write.meta.resource_id, revision_id)
            found = await self._storage.revision(write.meta.resource_id, number)
            made[revision_id] = times if found is None else (found.info.created_time, found.info.created_by)
        if made[revision_id] != times:
            errors.append(FieldError("revision_info.created_time", "and created_by must be those of the revision"))
        return errors


def _cut(plan: Plan, place: int, error: AutoCRUDError) -> None:
    """Refuse the steps from a place on. Nothing is overwritten by a part of what was to come."""
    place = 0 if plan.before else place
    refused, plan.steps, plan.before = plan.steps[place:], plan.steps[:place], []
    plan.refuse([step.line for step in refused], error)


def _replay(spec: ModelSpec[Any], line: Line) -> Write:
    if line.meta is None or line.kind is None:
        raise TypeError("a commit has metadata")
    encoded: Encoded | None = line.encoded
    follows = 0 if line.kind is CommitKind.create else line.meta.version - 1
    return replay_write(spec, line.kind, follows, line.meta, line.revision, encoded)


def _is_same(step: Step, head: Head, known: dict[int, Commit]) -> bool:
    """Whether a commit stands already as a line brings it."""
    write = step.writes[0]
    commit = known.get(write.meta.version)
    if commit is None:
        return False
    meta = ResourceMeta.model_validate_json(head.meta)
    born = (write.meta.created_time, write.meta.created_by) == (meta.created_time, meta.created_by)
    return born and commit_of(write, commit.locator) == commit
