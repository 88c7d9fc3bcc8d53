"""Replacements: the data of a PUT, in which values that a client sends back as answers show them stay unchanged."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic_core import from_json, to_jsonable_python

from autocrud.errors import Forbidden
from autocrud.guard.field_guard import FieldGuard
from autocrud.schema.exact_numbers import dump_json, load_json
from autocrud.schema.forms.shown_values import is_same_json
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.write_builder import Encoded

T = TypeVar("T")

_JSON_TYPES = (str, int, float, bool, type(None))


class Replacements(Generic[T]):
    """Encodes the values of PUTs of one model.

    Args:
        fields: rules of fields for the principal; None without rules.
    """

    def __init__(self, spec: ModelSpec[T], encoder: Encoder[T], fields: FieldGuard | None = None) -> None:
        self._spec = spec
        self._encoder = encoder
        self._fields = fields

    @property
    def needs_current(self) -> bool:
        """True if the meaning of a PUT depends on the current data."""
        return self._spec.stored_form.needs_current or self._has_active_rules

    @property
    def _has_active_rules(self) -> bool:
        return self._fields is not None and self._fields.is_active

    async def encode(self, value: Any) -> Any:
        """Return the encoded value, or the value itself if its meaning depends on the current data.

        Raises:
            MalformedBody, InvalidData: as `Encoder.encode`.
        """
        if self._has_active_rules:
            return value
        if not self._spec.stored_form.needs_current or not (isinstance(value, bytes) or _is_json(value)):
            return await self._encoder.encode(value)
        return value

    async def encode_for(self, data: bytes | None, value: Any) -> Encoded:
        """Return the encoded value for a resource with this data; None if the data cannot be read.

        Raises:
            MalformedBody, InvalidData: as `Encoder.encode`.
            ValidatorNotIdempotent: a validator would change a value that the client sends back.
        """
        if isinstance(value, Encoded):
            return value
        if self._fields is not None and self._fields.is_active:
            return await self._encode_under_rules(self._fields, data, value)
        if data is None:
            return await self._encoder.encode(value)
        try:
            body = load_json(value) if isinstance(value, bytes) else value
        except ValueError:
            return await self._encoder.encode(value)  # the encoder reports the fault
        names, answer = self._spec.names, self._spec.shown_values(data)
        sent, document = names.to_stored(body), names.to_stored(answer.keep_body(body))
        if is_same_json(document, from_json(data)):
            encoded = await self._encoder.encode_patched(data, data)
            return Encoded(data, encoded.blobs)
        is_kept = not is_same_json(document, sent)
        if is_kept:
            encoded = await self._encoder.encode_patched(dump_json(document), data)
        else:
            encoded = await self._encoder.encode(value)
        if encoded.data != data and self._spec.stored_form.has_validators:
            self._spec.check_unchanged(data, answer.unchanged_part(body))
        return encoded

    async def _encode_under_rules(self, fields: FieldGuard, data: bytes | None, value: Any) -> Encoded:
        """Return the encoded value with the fields that the principal may not see, as they are."""
        if data is None:
            raise Forbidden(f"The data of the {self._spec.name} cannot be read, so its fields cannot be kept.")
        if not isinstance(value, bytes | Mapping):
            encoded = await self._encoder.encode_value(value)
            return await self._encoder.encode_patched(fields.restored(encoded.data, data, is_complete=True), data)
        try:
            body = load_json(value) if isinstance(value, bytes) else to_jsonable_python(dict(value))
        except ValueError:
            return await self._encoder.encode(value)  # the encoder reports the fault
        answer = self._spec.shown_values(fields.visible(data))
        document = self._spec.names.to_stored(answer.keep_body(body))
        if not isinstance(document, dict):
            return await self._encoder.encode(value)
        return await self._encoder.encode_patched(fields.restored(dump_json(document), data), data)


def _is_json(value: Any) -> bool:
    """Return True for a mapping of JSON values alone, which a Python caller took from an answer."""
    return isinstance(value, Mapping) and all(map(_is_json_part, value.values()))


def _is_json_part(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_json_part, value))
    return _is_json(value) or type(value) in _JSON_TYPES


def size_of(value: Any) -> int:
    """Return about how many bytes a result of `Replacements.encode` has."""
    return len(value.data if isinstance(value, Encoded) else value if isinstance(value, bytes) else str(value))
