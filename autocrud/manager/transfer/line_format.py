"""The lines of an import: what arrives becomes lines, and each line what it says, or an error of its own."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json

from autocrud.errors import FieldError, InvalidData, MalformedBody, PayloadTooLarge
from autocrud.manager.transfer.metadata_checks import (
    GivenMeta,
    GivenRevision,
    faults_of_commit,
    faults_of_meta,
    faults_of_state,
)
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, check_resource_id
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.encoder import Encoder, Parsed
from autocrud.versioning.write_builder import Encoded

LEAST_LINE = 2 * 1024 * 1024  # what a line may have in any case: a piece of a blob needs so many bytes
_PARTS = {"id", "kind", "meta", "revision_info", "data"}
_OTHER = re.compile(rb'\s*\{\s*"(blob|end)"\s*:')
FileId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class GivenBlob(BaseModel):
    """Which blob it is."""

    model_config = ConfigDict(strict=True, extra="forbid")

    file_id: FileId
    size: int = Field(ge=0)


class Piece(BaseModel):
    """A line with bytes of a blob."""

    model_config = ConfigDict(strict=True, extra="forbid", val_json_bytes="base64")

    blob: GivenBlob
    offset: int = Field(ge=0)
    data: bytes


@dataclass(slots=True)
class Line:
    """A line that brings a resource, or a commit of one.

    Attributes:
        number: its place in the body, from 1 on.
        resource_id: None where a new one is to be found for it.
        kind: of the commit; None where it is a current state.
        meta, revision: None where nothing but data is given.
        encoded: None of a commit without data, or whose data was pruned.
    """

    number: int
    size: int
    resource_id: str | None
    kind: CommitKind | None
    meta: ResourceMeta | None
    revision: RevisionInfo | None
    encoded: Encoded | None


async def split(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes | None]:
    """The lines of a body as they arrive; None for one that is longer than the limit, and is not kept."""
    held = bytearray()
    dropping = False
    async for chunk in body:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            held += chunk[start:end]
            yield None if dropping or len(held) > limit else bytes(held)
            held.clear()
            dropping, start = False, end + 1
        if not dropping:
            held += chunk[start:]
        if len(held) > limit:
            dropping = True
            held.clear()
    if held or dropping:
        yield None if dropping else bytes(held)


_PIECE = TypeAdapter(Piece)


def line_adapter(spec: ModelSpec[Any]) -> TypeAdapter[Any]:
    """What a line of one model may be, to be validated in one pass; other parts are found later."""
    model: Any = spec.model
    return TypeAdapter(
        create_model(
            "Line",
            id=(str | None, None),
            kind=(CommitKind | None, None),
            meta=(GivenMeta | None, None),
            revision_info=(GivenRevision | None, None),
            data=(model, None),
        )
    )


class LineReader:
    """Reads the lines of one model.

    Args:
        adapter: see `line_adapter`.
        limit: of a line, in bytes.
    """

    def __init__(self, adapter: TypeAdapter[Any], encoder: Encoder[Any], limit: int) -> None:
        self.limit = limit
        self._encoder = encoder
        self._line = adapter

    async def read(self, number: int, content: bytes | None) -> Line | Piece | None:
        """What a line says; None where it says nothing that is to be done.

        Raises:
            PayloadTooLarge: it is too long.
            MalformedBody: it is not JSON.
            InvalidData: it is none of the lines that there are.
        """
        if content is None:
            raise PayloadTooLarge(self.limit)
        if content.isspace() or not content:
            return None
        other = _OTHER.match(content)
        if other is None:
            return await self._resource(number, content)
        return None if other[1] == b"end" else _parsed(_PIECE, content)

    async def _resource(self, number: int, content: bytes) -> Line:
        found = _parsed(self._line, content)
        names = from_json(content).keys()
        errors = [FieldError(name, "is not a part of a line") for name in sorted(names - _PARTS)]
        line = Line(number, len(content), found.id, found.kind, found.meta, found.revision_info, None)
        errors += _faults(line, names)
        if errors:
            raise InvalidData("The line is not valid.", errors)
        if line.meta is not None:
            line.resource_id = line.meta.resource_id
        elif line.resource_id is not None:
            check_resource_id(line.resource_id)
        if "data" in names:
            line.encoded = await self._encoder.encode(Parsed(found.data))
        return line


def _faults(line: Line, names: set[str]) -> list[FieldError]:
    meta, revision, kind = line.meta, line.revision, line.kind
    if meta is None:
        extra = [FieldError(name, "needs meta") for name in ("kind", "revision_info") if name in names]
        return extra if "data" in names else [*extra, FieldError("data", "must be there")]
    if line.resource_id not in (None, meta.resource_id):
        return [FieldError("id", "must be that of the metadata")]
    errors = list(faults_of_meta(meta, revision))
    if kind is not None:
        errors += faults_of_commit(kind, meta, revision)
        if revision is None and "data" in names:
            errors.append(FieldError("data", "needs revision_info"))
    else:
        missing = [name for name in ("revision_info", "data") if name not in names]
        errors += [FieldError(name, "must be there") for name in missing]
        if revision is None and "revision_info" in names:
            errors.append(FieldError("revision_info", "must not be null"))
        if revision is not None and not errors:
            errors += faults_of_state(meta, revision)
    return errors


def _parsed(adapter: TypeAdapter[Any], content: bytes) -> Any:
    try:
        # As stored data is read, which may have other names than what the model takes from clients.
        return adapter.validate_json(content, by_alias=True, by_name=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        if found[0]["type"] == "json_invalid":
            raise MalformedBody(f"The line is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.") from error
        errors = [FieldError(".".join(map(str, item["loc"])) or "(line)", item["msg"]) for item in found]
        raise InvalidData("The line is not valid.", errors) from error
