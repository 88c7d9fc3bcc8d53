"""Replacements: the data of a PUT, in which values that a client sends back as answers show them stay unchanged."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from autocrud.schema.exact_numbers import dump_json, load_json
from autocrud.schema.forms.shown_values import is_same_json
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.write_builder import Encoded

T = TypeVar("T")

_JSON_TYPES = (str, int, float, bool, type(None))


class Replacements(Generic[T]):
    """Encodes the values of PUTs of one model."""

    def __init__(self, spec: ModelSpec[T], encoder: Encoder[T]) -> None:
        self._spec = spec
        self._encoder = encoder

    async def encode(self, value: Any) -> Any:
        """Return the encoded value, or the value itself if its meaning depends on the current data.

        Raises:
            MalformedBody, InvalidData: as `Encoder.encode`.
        """
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
        if data is None:
            return await self._encoder.encode(value)
        try:
            body = load_json(value) if isinstance(value, bytes) else value
        except ValueError:
            return await self._encoder.encode(value)  # the encoder reports the fault
        names, answer = self._spec.names, self._spec.shown_values(data)
        sent, document = names.to_stored(body), names.to_stored(answer.keep_body(body))
        if is_same_json(document, from_json(data)):
            encoded = await self._encoder.encode_patched(data)
            return Encoded(data, encoded.blobs)
        is_kept = not is_same_json(document, sent)
        encoded = await (self._encoder.encode_patched(dump_json(document)) if is_kept else self._encoder.encode(value))
        if encoded.data != data and self._spec.stored_form.has_validators:
            self._spec.check_unchanged(data, answer.unchanged_part(body))
        return encoded


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
