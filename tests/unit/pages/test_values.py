"""Values of stored JSON as pages show them."""

from typing import Any

import pytest

from autocrud.pages.values import Links, node_of, text_of, value_at

FILE_ID = "ab" * 32


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [("x", "text", "x"), (1, "number", "1"), (0.5, "number", "0.5"), (True, "flag", "true"), (None, "null", "")],
)
def test_scalar_has_kind_and_text(value: Any, kind: str, text: str) -> None:
    """As in JSON."""
    node = node_of(value, Links())
    assert (node.kind, node.text) == (kind, text)


@pytest.mark.parametrize(
    ("media_type", "is_image"),
    [
        ("image/png", True),
        ("IMAGE/JPEG; q=1", True),
        ("image/svg+xml", False),
        ("text/html", False),
        ("application/pdf", False),
        ("image/png,image/svg+xml", False),
    ],
)
def test_only_raster_images_are_shown(media_type: str, is_image: bool) -> None:
    """SVG is a document with scripts."""
    blob = {"file_id": FILE_ID, "content_type": media_type, "filename": "a.png", "size": 1234}
    node = node_of(blob, Links(blobs="/album/a/blobs", blob_query="?include_deleted=true"))
    assert (node.kind, node.is_image) == ("blob", is_image)
    assert node.url == f"/album/a/blobs/{FILE_ID}?include_deleted=true"
    assert "1,234 bytes" in node.text


@pytest.mark.parametrize("file_id", ["../../secret", "javascript:alert(1)", FILE_ID.upper(), None, 7])
def test_object_without_file_id_is_no_blob(file_id: Any) -> None:
    """Its values never become an address."""
    node = node_of({"file_id": file_id, "content_type": "image/png"}, Links(blobs="/album/a/blobs"))
    assert (node.kind, node.url) == ("object", "")


def test_blob_without_a_route_is_an_object() -> None:
    """The model does not serve blobs."""
    assert node_of({"file_id": FILE_ID, "content_type": "image/png"}, Links()).kind == "object"


def test_reference_has_the_address_of_its_target() -> None:
    """Also as an item of a list, or in an object."""
    links = Links({("cast",): "/person", ("crew", "head"): "/person"})
    data = {"cast": ["p1"], "crew": [{"head": "p2"}], "other": "p3"}
    found = dict(node_of(data, links).members)
    assert found["cast"].members[0][1].url == "/person/p1"
    assert found["crew"].members[0][1].members[0][1].url == "/person/p2"
    assert found["other"].url == ""


def test_large_values_are_cut() -> None:
    """Long lists, deep values and long texts."""
    node = node_of({"many": list(range(1000)), "text": "x" * 100_000}, Links())
    many, text = (member for _, member in node.members)
    assert (len(many.members), many.omitted, len(text.text)) == (200, 800, 20_000)
    deep: Any = 0
    for _ in range(100):
        deep = {"a": [deep]}
    node, depth = node_of(deep, Links()), 0
    while node.members:
        node, depth = node.members[0][1], depth + 1
    assert (node.kind, depth) == ("json", 12)


def test_number_of_values_is_bounded() -> None:
    """However they are nested."""
    node = node_of([[list(range(100)) for _ in range(100)] for _ in range(100)], Links(), 500)
    count, pending = 0, [node]
    while pending:
        node = pending.pop()
        count += 1
        pending += [member for _, member in node.members]
    assert count == 500


def test_cell_text_and_path() -> None:
    """A path goes through lists."""
    assert text_of(["a", None, 1]) == "a, , 1"
    assert text_of([{"a": 1}]) == '[{"a":1}]'
    assert value_at({"cast": [{"name": "x"}, {"name": "y"}]}, ("cast", "name")) == ["x", "y"]
    assert value_at({"a": 1}, ("a", "b")) is None
