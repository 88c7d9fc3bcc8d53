"""Line format of exports and imports: splits a body into lines and parses each line."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from heapq import nsmallest
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json

from autocrud.errors import FieldError, InvalidData, MalformedBody, PayloadTooLarge
from autocrud.errors.base import MAX_ERRORS
from autocrud.manager.transfer.metadata_checks import (
    GivenMeta,
    GivenRevision,
    faults_of_commit,
    faults_of_meta,
    faults_of_state,
)
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, check_resource_id
from autocrud.schema.binary import CONTENT_TYPE_PATTERN, FILENAME_PATTERN
from autocrud.schema.exact_numbers import ExactValidator, dump_json, has_inexact_numbers, load_json
from autocrud.schema.forms.stored_form import Parsed
from autocrud.schema.forms.validation_errors import error_items
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.schema import Schema
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.write_builder import Encoded

MIN_LINE_LIMIT = 2 * 1024 * 1024  # a line with a piece of a blob needs this many bytes
_PARTS = {"id", "kind", "meta", "revision_info", "data"}
# The hash and the size of the data in a line as an export writes it; the data comes last.
_EXPORTED_DATA = re.compile(rb'"data_hash":"sha256:(?P<hash>[0-9a-f]{64})","size":(?P<size>\d{1,12})\},"data":')
_VERSION = re.compile(rb'"schema_version":\s*(\d+)')
_BLOB_OR_END = re.compile(rb'\s*\{\s*"(blob|end)"\s*:')
FileId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class GivenType(BaseModel):
    """Media type and file name that the blob was uploaded with."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    content_type: str = Field(pattern=CONTENT_TYPE_PATTERN)
    filename: str | None = Field(None, pattern=FILENAME_PATTERN)


class GivenBlob(BaseModel):
    """Blob that a piece belongs to, with all its types. Without types, they are not known."""

    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)

    file_id: FileId
    size: int = Field(ge=0)
    types: tuple[GivenType, ...] = ()


class Piece(BaseModel):
    """Line with bytes of a blob."""

    model_config = ConfigDict(strict=True, extra="forbid", val_json_bytes="base64", defer_build=True)

    blob: GivenBlob
    offset: int = Field(ge=0)
    data: bytes


@dataclass(slots=True)
class Line:
    """Line that brings a resource or a commit.

    Attributes:
        number: position of the line in the body, from 1.
        size: length of the line in bytes.
        resource_id: id of the resource; None if a new id is to be generated.
        kind: kind of the commit; None for a current state.
        meta, revision: metadata and revision; None if the line has only data.
        encoded: stored form of the data; None if the commit has no data, or its data was pruned.
    """

    number: int
    size: int
    resource_id: str | None
    kind: CommitKind | None
    meta: ResourceMeta | None
    revision: RevisionInfo | None
    encoded: Encoded | None


async def split(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes | None]:
    """Yield the lines of a body as they arrive, and None for a line that is longer than the limit."""
    buffer = bytearray()
    dropping = False
    async for chunk in body:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            buffer += chunk[start:end]
            yield None if dropping or len(buffer) > limit else bytes(buffer)
            buffer.clear()
            dropping, start = False, end + 1
        if not dropping:
            buffer += chunk[start:]
        if len(buffer) > limit:
            dropping = True
            buffer.clear()
    if buffer or dropping:
        yield None if dropping else bytes(buffer)


_PIECE = TypeAdapter(Piece)


def line_adapter(spec: ModelSpec[Any]) -> ExactValidator:
    """Return a validator of a line of one model in one pass. Unknown parts are found later.

    Data whose names differ from those of the validator is validated after it was renamed.
    """
    adapter = _line_adapter(Any if spec.names.rewrites_input else spec.model)
    return ExactValidator(adapter.validate_json, adapter.core_schema)


def _line_adapter(data: Any) -> TypeAdapter[Any]:
    return TypeAdapter(
        create_model(
            "Line",
            id=(str | None, None),
            kind=(CommitKind | None, None),
            meta=(GivenMeta | None, None),
            revision_info=(GivenRevision | None, None),
            data=(data, None),
        )
    )


# Parses a line whose data is stored unchanged.
_EXPORTED = _line_adapter(Any)


class LineReader:
    """Parses the lines of one model.

    Args:
        adapter: validator of the model's lines, from `line_adapter`.
        limit: maximum length of a line in bytes.
        schema: versions that the model can read.
        renames: True if the encoder must rename the data; see `line_adapter`.
    """

    def __init__(
        self, adapter: ExactValidator, encoder: Encoder[Any], limit: int, *, schema: Schema, renames: bool
    ) -> None:
        self.limit = limit
        self._schema = schema
        self._renames = renames
        self._encoder = encoder
        self._line = adapter

    async def read(self, number: int, content: bytes | None) -> Line | Piece | None:
        """Parse a line. Return None if the line is blank or the end of an export.

        Raises:
            PayloadTooLarge: the line is too long.
            MalformedBody: the line is not JSON.
            InvalidData: the line has no valid form.
        """
        if content is None:
            raise PayloadTooLarge(self.limit)
        if content.isspace() or not content:
            return None
        special = _BLOB_OR_END.match(content)
        if special is None:
            return await self._read_resource(number, content)
        return None if special[1] == b"end" else _parse(_PIECE, content)

    async def _read_resource(self, number: int, content: bytes) -> Line:
        version = self._version_of(content)
        is_known = self._schema.oldest <= version <= self._schema.version
        encoded = await self._encode_exported(content, version) if is_known else None
        is_older = version != self._schema.version
        found = _parse(_EXPORTED if encoded or is_older else self._line, content)
        names = from_json(content).keys()
        errors = [FieldError(name, "is not a part of a line") for name in nsmallest(MAX_ERRORS, names - _PARTS)]
        line = Line(number, len(content), found.id, found.kind, found.meta, found.revision_info, None)
        errors += _find_faults(line, names, self._schema)
        if errors:
            raise InvalidData("The line is not valid.", errors)
        if line.meta is not None:
            line.resource_id = line.meta.resource_id
        elif line.resource_id is not None:
            check_resource_id(line.resource_id)
        if "data" in names:
            line.encoded = encoded or await self._encode_by_hand(found.data, content, version)
        return line

    def _version_of(self, content: bytes) -> int:
        """Return the schema version of a line's data; the model's version if the line has no metadata."""
        found = _VERSION.search(content)
        if found is None or found[1] == b"%d" % self._schema.version:
            return self._schema.version
        # The name may also stand in the data.
        meta = _parse(_EXPORTED, content).meta
        return self._schema.version if meta is None else meta.schema_version

    async def _encode_by_hand(self, data: Any, content: bytes, version: int) -> Encoded:
        """Encode data without a hash. Data of an older version is upgraded, and stored as it is."""
        if version == self._schema.version:
            return await self._encoder.encode(self._by_hand(data, content))
        stored = dump_json(load_json(content)["data"] if has_inexact_numbers(content) else data)
        return await self._encoder.encode_older(stored, version)

    async def _encode_exported(self, content: bytes, version: int) -> Encoded | None:
        """Return the data of an exported line unchanged; None if its hash does not fit, or the line has no hash."""
        exported = _EXPORTED_DATA.search(content)
        if exported is None:
            return None
        size = int(exported["size"])
        data = content.rstrip()[-size - 1 : -1]
        if len(data) != size or sha256(data).hexdigest() != exported["hash"].decode():
            return None
        if version != self._schema.version:
            return await self._encoder.encode_older(data, version)
        return await self._encoder.encode_stored(data)

    def _by_hand(self, data: Any, content: bytes) -> Any:
        """Return data for the encoder, which validates it like the body of a POST."""
        if not self._renames:
            return Parsed(data)
        return dump_json(load_json(content)["data"] if has_inexact_numbers(content) else data)


def _find_faults(line: Line, names: set[str], schema: Schema) -> list[FieldError]:
    """Return the faults of a line whose parts have these names."""
    meta, revision, kind = line.meta, line.revision, line.kind
    if meta is None:
        extra = [FieldError(name, "needs meta") for name in ("kind", "revision_info") if name in names]
        return extra if "data" in names else [*extra, FieldError("data", "is required")]
    if line.resource_id not in (None, meta.resource_id):
        return [FieldError("id", "must equal meta.resource_id")]
    errors = list(faults_of_meta(meta, revision, schema))
    if kind is not None:
        errors += faults_of_commit(kind, meta, revision)
        if revision is None and "data" in names:
            errors.append(FieldError("data", "needs revision_info"))
    else:
        missing = [name for name in ("revision_info", "data") if name not in names]
        errors += [FieldError(name, "is required") for name in missing]
        if revision is None and "revision_info" in names:
            errors.append(FieldError("revision_info", "must not be null"))
        if revision is not None and not errors:
            errors += faults_of_state(meta, revision)
    return errors


def _parse(adapter: TypeAdapter[Any] | ExactValidator, content: bytes) -> Any:
    try:
        # By alias and by name, because stored data may use other names than the model takes from clients.
        return adapter.validate_json(content, by_alias=True, by_name=True)
    except ValidationError as error:
        found = error_items(error)
        if found[0]["type"] == "json_invalid":
            raise MalformedBody(f"The line is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.") from error
        errors = (FieldError(".".join(map(str, item["loc"])) or "(line)", item["msg"]) for item in found)
        raise InvalidData("The line is not valid.", errors) from error
