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
from autocrud.versioning.replacement import Replacements
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
        replacement: the value as the data of a replacement, if the upsert replaces; see `Replacements`.
        refusal: reason why the value is no whole resource.
    """

    on_conflict: OnConflict
    content: bytes
    encoded: Encoded | None
    claims: tuple[Claim, ...]
    patch: MergePatch | None = None
    replacement: Any = None
    refusal: InvalidData | None = None


class BodyReader(Generic[T]):
    """Reads the values of one model's upserts."""

    def __init__(self, spec: ModelSpec[T], encoder: Encoder[T], replacements: Replacements[T], claims: Claims) -> None:
        self._spec = spec
        self._replacements = replacements
        self._encoder = encoder
        self._claims = claims

    async def read(self, value: Any, on_conflict: OnConflict) -> UpsertBody:
        """Return the value of an upsert.

        Raises:
            MalformedBody: the bytes are not JSON.
            InvalidData: the model does not accept the value, also not as a change of a holder.
        """
        encoded: Encoded | None = None
        refusal: InvalidData | None = None
        try:
            encoded = await self._encoder.encode(value)
        except InvalidData as error:
            # A patch may lack fields. A replacement may have values as answers show them, which only the holder tells.
            if on_conflict is OnConflict.return_:
                raise
            refusal = error
        if on_conflict is OnConflict.merge or encoded is None or isinstance(value, bytes):
            content = self._members(value, refusal)
        else:
            content = encoded.data
        claims = self._claims_of(encoded, content)
        patch, replacement = None, None
        if on_conflict is OnConflict.merge:
            patch = MergePatch(content)
        elif on_conflict is OnConflict.replace:
            needs_holder = encoded is None or self._replacements.needs_current
            replacement = await self._replacements.encode(value) if needs_holder else encoded
        return UpsertBody(on_conflict, content, encoded, claims, patch, replacement, refusal)

    def _claims_of(self, encoded: Encoded | None, content: bytes) -> tuple[Claim, ...]:
        if encoded is None:
            return self._claims.of_document(load_json(content))
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
