"""Field masks: parsing, check against a schema, pattern for OpenAPI, and the cut."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from autocrud.errors import InvalidParameter
from autocrud.routes.request.field_mask import check_paths, field_mask, parse_paths, paths_pattern


class Part(BaseModel):
    """A part that may contain parts."""

    name: str = ""
    parts: list["Part"] = []


class Work(BaseModel):
    """A work with nested members."""

    title: str
    main: Part | None = None
    notes: dict[str, int] = {}
    pair: tuple[int, Part] = (0, Part())


SCHEMA = Work.model_json_schema()
DATA = {
    "title": "t",
    "main": {"name": "m", "parts": [{"name": "a", "parts": []}, {"name": "b", "parts": []}]},
    "notes": {"x": 1, "y": 2},
}


@pytest.mark.parametrize("text", ["", "a,,b", "a..b", ".a", "a.", ".".join("a" * 33)])
def test_parse_paths_malformed_raises(text: str) -> None:
    """A name must not be empty, and a path has at most 32 names."""
    with pytest.raises(ValueError, match="is not a path"):
        parse_paths(text)


@pytest.mark.parametrize("text", ["a,a.b", "a.b,a", " a , a.b.c "])
def test_parse_paths_with_outer_path_selects_whole_value(text: str) -> None:
    """An inner path does not narrow an outer one, in either order."""
    assert parse_paths(text) == {"a": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title,absent", {"title": "t"}),
        ("main.name", {"main": {"name": "m"}}),
        ("main.parts.name", {"main": {"parts": [{"name": "a"}, {"name": "b"}]}}),
        ("main.parts.1", {"main": {"parts": [{"name": "b", "parts": []}]}}),
        ("main.parts.0.parts,main.parts.name", {"main": {"parts": [{"parts": []}, {"name": "b"}]}}),
        ("notes.y", {"notes": {"y": 2}}),
    ],
)
def test_field_mask_returns_selected_members(text: str, expected: Any) -> None:
    """Numbers select items of an array; other names apply to each item."""
    assert json.loads(field_mask(json.dumps(DATA).encode(), parse_paths(text))) == expected


PATHS = ["title", "main.name", "main.parts.name", "main.parts.0.parts.1.name", "notes.any", "pair.0", "pair.name"]


@pytest.mark.parametrize("path", PATHS)
def test_check_paths_of_schema_passes(path: str) -> None:
    """Paths go through references, options, arrays, tuples and free members."""
    check_paths(parse_paths(path), SCHEMA)


@pytest.mark.parametrize("path", ["titel", "main.title", "main.parts.title", "notes.any.more", "title.0"])
def test_check_paths_outside_schema_raises(path: str) -> None:
    """The message names the path."""
    with pytest.raises(InvalidParameter, match=f"'{path}' is not a field"):
        check_paths(parse_paths(f"main,{path}" if not path.startswith("main") else path), SCHEMA)


def test_paths_pattern_matches_paths_of_schema() -> None:
    """The pattern accepts lists of paths, and refuses a misspelled name."""
    pattern = re.compile(paths_pattern(Part.model_json_schema()))
    for text in ("name", "name,parts.name", "parts.0.parts.1.name", "parts.10"):
        assert pattern.search(text), text
    for text in ("", "nam", "name,", "name.x", "parts.01"):
        assert not pattern.search(text), text
