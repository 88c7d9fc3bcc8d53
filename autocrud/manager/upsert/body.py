"""UpsertBody: the value of an upsert, read as a whole resource and as a merge patch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from autocrud.errors import InvalidData
from autocrud.manager.upsert.claims import Claim, Claims
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.schema.exact_numbers import dump_json, load_json
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.json_patch import MergePatch
from autocrud.versioning.write_builder import Encoded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UpsertBody:
    """The value of an upsert.

    Attributes:
        content: bytes that tell two values apart.
        encoded: the value as a whole resource; None if it is a patch that lacks fields.
        claims: unique values that a create of the value would claim.
        patch: the value as a merge patch, if the upsert merges.
        refusal: reason why the value is no whole resource.
    """

    on_conflict: OnConflict
    content: bytes
    encoded: Encoded | None
    claims: tuple[Claim, ...]
    patch: MergePatch | None = None
    refusal: InvalidData | None = None


class BodyReader(Generic[T]):
    """Reads the values of one model's upserts."""

    def __init__(self, spec: ModelSpec[T], encoder: Encoder[T], claims: Claims) -> None:
        self._spec = spec
        self._encoder = encoder
        self._claims = claims

    async def read(self, value: Any, on_conflict: OnConflict) -> UpsertBody:
        """Return the value of an upsert.

        Raises:
            MalformedBody: the bytes are not JSON.
            InvalidData: the model does not accept the value, and the upsert does not merge.
        """
        if on_conflict is not OnConflict.merge:
            encoded = await self._encoder.encode(value)
            content = value if isinstance(value, bytes) else encoded.data
            return UpsertBody(on_conflict, content, encoded, self._claims_of(encoded))
        try:
            encoded = await self._encoder.encode(value)
        except InvalidData as error:
            body = self._members(value, error)
            claims = self._claims.of_document(load_json(body))
            return UpsertBody(on_conflict, body, None, claims, MergePatch(body), error)
        body = self._members(value, None)
        return UpsertBody(on_conflict, body, encoded, self._claims_of(encoded), MergePatch(body))

    def _claims_of(self, encoded: Encoded) -> tuple[Claim, ...]:
        return self._claims.of_index(self._spec.index_values(encoded.data))

    def _members(self, value: Any, refusal: InvalidData | None) -> bytes:
        """Return the members that a value names, as JSON. An instance of a model names the fields that were set.

        Args:
            refusal: reason why the value is no resource, which is raised if the value is not even JSON.
        """
        if isinstance(value, bytes):
            return value
        if isinstance(value, Mapping):
            try:
                return dump_json(to_jsonable_python(dict(value)))
            except PydanticSerializationError as error:
                raise refusal or InvalidData(f"The {self._spec.name} cannot be written as JSON: {error}") from error
        if refusal is not None:
            raise refusal
        document, names = from_json(self._spec.dump(value)), getattr(value, "model_fields_set", None)
        if names is None or not isinstance(document, dict):
            return to_json(document)
        return to_json({name: part for name, part in document.items() if name in names})
