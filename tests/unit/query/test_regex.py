"""Regular expressions: the common subset of RE2 and PostgreSQL."""

import pytest

from autocrud.query.regex import canonicalize, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^ab?c$", "ac", True),
        ("^ab?c$", "abbc", False),
        (r"\d{2,3}", "x12", True),
        ("[^a-c]", "abc", False),
        ("a.c", "a\nc", True),
        ("(a|b)+$", "xab", True),
        ("x*", "", True),
    ],
)
def test_compile_pattern_matches_like_the_subset(pattern: str, text: str, expected: bool) -> None:
    """A dot matches a newline, and a search finds any part of the text."""
    assert (compile_pattern(canonicalize(pattern)).search(text) is not None) is expected


@pytest.mark.parametrize("pattern", ["(", ")", "[", "a{2,1}", r"(a)\1", "(?=a)", "a**", "((a{200}){200})", "a" * 201])
def test_canonicalize_of_other_syntax_raises(pattern: str) -> None:
    """Back-references, look-around, invalid and oversized patterns."""
    with pytest.raises(ValueError, match=r".+"):
        canonicalize(pattern)
