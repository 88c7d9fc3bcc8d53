"""Text search: queries, matches and ranks of search documents."""

import pytest

from autocrud.errors import InvalidParameter
from autocrud.query.text_search import parse_text
from autocrud.schema.search_document import build_document
from tests.unit.query.models import FILMS


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fox", True),
        ("FÓX", True),
        ("red fox", True),
        ('"red fox"', False),
        ('"brown fox"', True),
        ("fo*", True),
        ("fo", False),
        ("fox -hen", True),
        ("fox -red", False),
        ("e-mail", False),
    ],
)
def test_text_query_matches_words_phrases_and_prefixes(query: str, expected: bool) -> None:
    """Case and accents do not count."""
    assert parse_text(query).matches(build_document(["The red, quick brown fox"])) is expected


def test_rank_is_higher_for_better_matches() -> None:
    """More often, in less text, and as a phrase."""
    text = parse_text("red fox")
    ranks = [
        text.rank(build_document([content]))
        for content in ("red fox red fox", "red fox", "fox red", "fox red and much more text")
    ]
    assert ranks == sorted((rank for rank in ranks if rank is not None), reverse=True)
    assert len(set(ranks)) == 4
    assert text.rank(build_document(["red"])) is None


@pytest.mark.parametrize("query", ["", "-hen", "!!", " ".join(f"x{number}" for number in range(65))])
def test_text_query_without_a_word_is_refused(query: str) -> None:
    """The error names the parameter `q`."""
    with pytest.raises(InvalidParameter) as caught:
        FILMS.text(query)
    assert caught.value.errors[0].field == "q"
