"""Encoder: validation, stored JSON and blobs."""

from typing import Any

import pytest
from pydantic import BaseModel, field_serializer

from autocrud import Binary
from autocrud.errors import InvalidData, MalformedBody
from autocrud.schema.binary import OCTETS
from autocrud.schema.forms.stored_form import Parsed
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.blobs import BlobStore
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.write_builder import Encoded

UNKNOWN = "0" * 64


class Note(BaseModel):
    """A note with two attachments."""

    text: str
    first: Binary | None = None
    second: Binary | None = None


class Hiding(BaseModel):
    """A model that does not accept the JSON that its serializer writes."""

    number: int

    @field_serializer("number")
    def _hide(self, value: int) -> str:
        return f"hidden {value}"


NOTES: ModelSpec[Any] = ModelSpec(Note)


def encoder(spec: ModelSpec[Any] = NOTES) -> Encoder[Any]:
    """An encoder with an empty blob store in memory."""
    return Encoder(spec, MemoryStorageFactory().build(spec).blobs)


async def open_blobs() -> BlobStore:
    """Return an empty blob store in memory, open."""
    storage = MemoryStorageFactory().build(NOTES)
    await storage.open()
    return storage.blobs


async def test_encode_json_instance_mapping_and_parsed_value_gives_equal_json() -> None:
    """All accepted forms of a value are stored alike."""
    subject = encoder()
    values: list[Any] = [b'{"text": "a"}', Note(text="a"), {"text": "a"}, Parsed(Note(text="a"))]
    assert {(await subject.encode(value)).data for value in values} == {b'{"text":"a","first":null,"second":null}'}


async def test_encode_encoded_value_returns_it_unchanged() -> None:
    """An encoded value is not validated again."""
    encoded = Encoded(b"anything")
    assert await encoder().encode(encoded) is encoded


@pytest.mark.parametrize(("value", "error"), [(b"{", MalformedBody), (b"{}", InvalidData), ({"text": 1}, InvalidData)])
async def test_encode_invalid_value_is_refused(value: Any, error: type[Exception]) -> None:
    """Malformed JSON and values of the wrong shape are different errors."""
    with pytest.raises(error):
        await encoder().encode(value)


async def test_encode_instance_with_unreadable_json_is_refused() -> None:
    """Stored JSON must be valid input of the model."""
    subject = encoder(ModelSpec(Hiding))
    with pytest.raises(InvalidData) as caught:
        await subject.encode(Hiding.model_construct(number="x"))
    assert [error.field for error in caught.value.errors] == ["number"]
    assert (await subject.encode(Hiding(number=1))).data == b'{"number":1}'


async def test_encode_inline_data_stores_one_blob_for_equal_bytes() -> None:
    """The stored JSON names the blob by its hash, and has no inline data."""
    binary = {"data": b"hello", "content_type": OCTETS}
    encoded = await Encoder(NOTES, await open_blobs()).encode({"text": "a", "first": binary, "second": binary})
    (file_id,) = encoded.blobs
    assert encoded.data.count(file_id.encode()) == 2
    assert b'"data"' not in encoded.data


async def test_encode_known_blob_fills_in_its_size() -> None:
    """A client may refer to an uploaded blob by its hash alone."""
    subject: Encoder[Any] = Encoder(NOTES, await open_blobs())
    (file_id,) = (await subject.encode({"text": "a", "first": {"data": b"hello"}})).blobs
    encoded = await subject.encode({"text": "a", "first": {"file_id": file_id}})
    assert b'"size":5' in encoded.data
    with pytest.raises(InvalidData) as caught:
        await subject.encode({"text": "a", "first": {"file_id": file_id, "size": 6}})
    assert [error.field for error in caught.value.errors] == ["first.size"]


async def test_encode_unknown_blob_stores_no_other_blob() -> None:
    """A refused value leaves no blob behind."""
    blobs = await open_blobs()
    subject: Encoder[Any] = Encoder(NOTES, blobs)
    with pytest.raises(InvalidData) as caught:
        await subject.encode({"text": "a", "first": {"data": b"hello"}, "second": {"file_id": UNKNOWN}})
    assert [error.field for error in caught.value.errors] == ["second.file_id"]
    hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert await blobs.find(hello) is None
