"""Values of stored JSON in the form that pages show: texts, nested lists and objects, references, blobs."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pydantic_core import to_json

MAX_CELL = 120  # characters of a value in a table
_MAX_TEXT = 20_000  # characters of a value on the page of a resource
_MAX_ITEMS = 200  # of a list or an object
_MAX_NODES = 5_000  # of a resource
_MAX_DEPTH = 12  # of nested values; deeper values are shown as JSON
# Browsers show these without running anything. SVG is a document with scripts.
_RASTER_TYPES = frozenset({"image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp"})
_FILE_ID = re.compile("[0-9a-f]{64}")
_Path = tuple[str, ...]


@dataclass(frozen=True)
class Node:
    """A value to show.

    Attributes:
        kind: `text`, `number`, `flag`, `null`, `json`, `object`, `list`, `reference` or `blob`.
        url: address of a referred resource or a blob.
        members: members of an object by name, or items of a list by number.
        omitted: number of members or items that are not shown.
        is_image: True for a blob that the page shows.
    """

    kind: str
    text: str = ""
    url: str = ""
    members: Sequence[tuple[str, "Node"]] = ()
    omitted: int = 0
    is_image: bool = False


@dataclass(frozen=True)
class Links:
    """Addresses of the referred resources and blobs of one resource.

    Attributes:
        references: address of the list of the referred model, by the path of the field.
        blobs: address under which the blobs of the resource lie; None if these are not served.
        blob_query: query string of the address of a blob.
    """

    references: Mapping[_Path, str] = field(default_factory=dict)
    blobs: str | None = None
    blob_query: str = ""


def node_of(value: Any, links: Links, max_nodes: int = _MAX_NODES) -> Node:
    """Return a value as a node. At most `max_nodes` values inside it are shown, so that the time is bounded."""
    return _NodeBuilder(links, max_nodes).build(value, (), 0)


class _NodeBuilder:
    """Builds the nodes of one value."""

    def __init__(self, links: Links, max_nodes: int) -> None:
        self._links = links
        self._remaining_nodes = max_nodes

    def build(self, value: Any, path: _Path, depth: int) -> Node:
        """Return a value as a node. Items of a list have the path of the list."""
        self._remaining_nodes -= 1
        links = self._links
        if isinstance(value, dict | list) and depth >= _MAX_DEPTH:
            return Node("json", shorten(_to_text(value), _MAX_TEXT))
        if isinstance(value, dict):
            if links.blobs is not None and _is_blob(value):
                return _blob_node(value, links)
            members = [(name, self.build(part, (*path, name), depth + 1)) for name, part in self._select(value.items())]
            return Node("object", members=members, omitted=len(value) - len(members))
        if isinstance(value, list):
            members = [
                (str(number), self.build(part, path, depth + 1)) for number, part in self._select(enumerate(value))
            ]
            return Node("list", members=members, omitted=len(value) - len(members))
        if isinstance(value, str) and path in links.references:
            return Node("reference", value, f"{links.references[path]}/{value}")
        return Node(_scalar_kind(value), shorten(text_of(value), _MAX_TEXT))

    def _select(self, pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
        """Yield the members to show, until there are enough."""
        for pair in islice(pairs, _MAX_ITEMS):
            if self._remaining_nodes <= 0:
                return
            yield pair


def text_of(value: Any) -> str:
    """Return a value as a text of one line, for a cell. Items of a list are separated by commas."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ", ".join(map(text_of, value))
    return _to_text(value)


def value_at(data: Any, path: Sequence[str]) -> Any:
    """Return the value at a path in JSON data. A list on the way gives a list of the values in its items."""
    for number, name in enumerate(path):
        if isinstance(data, list):
            return [value_at(item, path[number:]) for item in data]
        data = data.get(name) if isinstance(data, dict) else None
    return data


def shorten(text: str, length: int = MAX_CELL) -> str:
    """Return a text, cut if it is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _scalar_kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "flag"
    return "text" if isinstance(value, str) else "number"


def _is_blob(value: Mapping[str, Any]) -> bool:
    file_id = value.get("file_id")
    return isinstance(file_id, str) and "content_type" in value and bool(_FILE_ID.fullmatch(file_id))


def _blob_node(value: Mapping[str, Any], links: Links) -> Node:
    media_type = str(value["content_type"]).partition(";")[0].strip().lower()
    name = value.get("filename") or f"{value['file_id'][:12]}…"
    size = f", {value['size']:,} bytes" if isinstance(value.get("size"), int) else ""
    url = f"{links.blobs}/{value['file_id']}{links.blob_query}"
    return Node("blob", f"{name} ({media_type}{size})", url, is_image=media_type in _RASTER_TYPES)


def _to_text(value: Any) -> str:
    return to_json(value, inf_nan_mode="constants").decode()
