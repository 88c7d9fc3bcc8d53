"""Entity tags: parsing of `If-Match` and `If-None-Match`."""

import pytest

from autocrud.errors import InvalidParameter, PreconditionRequired
from autocrud.routes.request.etag import etag, if_match, matches_if_none_match, parse_tags
from autocrud.versioning.mutations import ANY
from tests.unit.routes.request.requests import request_with


def test_parse_tags_without_weak_skips_weak_tags() -> None:
    """If-Match uses the strong comparison, If-None-Match the weak one."""
    value = 'W/"1-a" ,\t"2-b","",  "3,c"'
    assert list(parse_tags("If-Match", value)) == ["2-b", "", "3,c"]
    assert parse_tags("If-None-Match", value, weak=True) == ["1-a", "2-b", "", "3,c"]


@pytest.mark.parametrize("value", ["", "2-b", '"2-b', '"2-b" "3-c"', '"2-b",', 'w/"2-b"', '*, "2-b"', "'2-b'"])
def test_parse_tags_malformed_raises(value: str) -> None:
    """The error names the header."""
    with pytest.raises(InvalidParameter, match=r"^If-Match: "):
        parse_tags("If-Match", value)


def test_if_match_with_star_returns_any() -> None:
    """`*` is not a list of tags."""
    assert if_match(request_with(if_match=" * ")) is ANY


def test_if_match_absent_raises_only_if_required() -> None:
    """Without the header, a model may demand a precondition."""
    assert if_match(request_with()) is None
    assert if_match(request_with(if_match='"1-a"'), "movie") == ["1-a"]
    with pytest.raises(PreconditionRequired, match="movie"):
        if_match(request_with(), "movie")


def test_is_known_compares_weak_tags() -> None:
    """A tag in the list, or `*`, names the current state."""
    assert matches_if_none_match(request_with(if_none_match=f'"0-x", W/{etag("1-a")}'), "1-a")
    assert matches_if_none_match(request_with(if_none_match="*"), "1-a")
    assert not matches_if_none_match(request_with(if_none_match='"1-ab"'), "1-a")
    assert not matches_if_none_match(request_with(), "1-a")
