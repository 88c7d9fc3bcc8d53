"""Binary fields: validation, limits, and references to blobs in JSON."""

from base64 import b64encode
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from autocrud.schema.binary import Binary, binaries, blob_file_ids, find_blob_reference, has_binaries, largest_limit

FILE_ID = "ab" * 32
OTHER_ID = "cd" * 32


class Album(BaseModel):
    cover: Annotated[Binary, Binary(max_size=3, content_types=["image/*"])] | None = None
    pages: Annotated[list[Binary], Binary(max_size=5)] = []


def message_of(values: Any) -> str:
    """Return the message that refuses a Binary."""
    with pytest.raises(ValidationError) as caught:
        Binary.model_validate(values)
    return caught.value.errors()[0]["msg"]


@given(st.binary(max_size=100))
def test_binary_inline_data_decodes_base64(data: bytes) -> None:
    """Every byte string has a round trip through base64, and the JSON of the value omits the bytes."""
    value = Binary.model_validate({"data": b64encode(data).decode()})
    assert value.data == data
    assert "data" not in value.model_dump()


@pytest.mark.parametrize("values", [{}, {"file_id": FILE_ID, "data": "aGVsbG8="}])
def test_binary_without_exactly_one_source_is_refused(values: dict[str, str]) -> None:
    """The message names both fields."""
    assert "exactly one of file_id and data" in message_of(values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"data": "no base64"}, "must be base64 (RFC 4648)"),
        ({"file_id": "ab"}, "should match pattern"),
        ({"file_id": FILE_ID, "content_type": "image"}, "should match pattern"),
        ({"file_id": FILE_ID, "filename": "a/b"}, "should match pattern"),
        ({"file_id": FILE_ID, "size": -1}, "greater than or equal to 0"),
        ({"file_id": FILE_ID, "path": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_binary_invalid_field_is_refused(values: dict[str, Any], reason: str) -> None:
    """Each field has its own check."""
    assert reason in message_of(values)


def test_limits_exceeded_return_one_message_per_limit() -> None:
    """The field's own limits apply to a single value and to each item of a list."""
    album = Album.model_validate(
        {"cover": {"data": "aGVsbG8=", "content_type": "text/plain"}, "pages": [{"data": "aGVsbG8h"}, {"data": ""}]}
    )
    assert album.cover is not None
    assert album.cover.errors() == ["must be at most 3 bytes long", "content_type must be one of image/*"]
    assert [page.errors() for page in album.pages] == [["must be at most 5 bytes long"], []]


def test_limits_unknown_size_passes_until_size_is_known() -> None:
    """A client need not know the size; the same value fails once the service has set the size."""
    album = Album.model_validate({"cover": {"file_id": FILE_ID, "content_type": "Image/PNG; q=1"}})
    assert album.cover is not None
    assert album.cover.errors() == []
    album.cover.size = 4
    assert album.cover.errors() == ["must be at most 3 bytes long"]


def test_binaries_nested_values_yield_paths() -> None:
    """Lists and mappings contribute their index or key to the path."""
    value = Binary.model_validate({"file_id": FILE_ID})
    album = Album(cover=value, pages=[value, value])
    paths = [path for path, _ in binaries({"first": album, "others": (album,), "text": "x"})]
    assert paths == [
        "first.cover", "first.pages.0", "first.pages.1", "others.0.cover", "others.0.pages.0", "others.0.pages.1",
    ]  # fmt: skip
    assert list(binaries(value)) == [("", value)]


def test_largest_limit_requires_a_limit_on_every_field() -> None:
    """A single unlimited field makes the largest size unknown."""

    class Attachment(BaseModel):
        album: Album
        extra: Binary | None = None

    class Plain(BaseModel):
        name: str

    assert largest_limit(TypeAdapter(Album).json_schema()) == 5
    assert largest_limit(TypeAdapter(Attachment).json_schema()) is None
    assert [has_binaries(TypeAdapter(model).json_schema()) for model in (Attachment, Plain)] == [True, False]


def test_references_in_json_require_the_form_of_a_blob_reference() -> None:
    """An object without a content type, or with another kind of id, is no reference."""
    blob = {"file_id": FILE_ID, "content_type": "text/plain"}
    data = {"a": [blob, {"b": {"file_id": OTHER_ID, "content_type": "image/png"}}], "c": {"file_id": FILE_ID}, "d": 1}
    assert list(blob_file_ids(data)) == [FILE_ID, OTHER_ID]
    malformed = [{"file_id": file_id, "content_type": "text/plain"} for file_id in ("x", 7)]
    assert list(blob_file_ids(malformed)) == []
    assert find_blob_reference(data, FILE_ID) == blob
    assert find_blob_reference({"c": {"file_id": FILE_ID}, "text": FILE_ID}, FILE_ID) == {}
