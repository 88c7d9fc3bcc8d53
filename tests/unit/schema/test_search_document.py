"""Search documents: normalized words of a resource's texts."""

import pytest

from autocrud.schema.search_document import build_document, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The quick, brown Fox", ["the", "quick", "brown", "fox"]),
        ("CAFÉ straße", ["cafe", "strasse"]),
        ("e-mail", ["e", "mail"]),
        ("東京", ["東", "京"]),
        ("!!", []),
        ("x" * 70, ["x" * 64]),
    ],
)
def test_words_are_normalized(text: str, expected: list[str]) -> None:
    """Case, accents and punctuation do not count; ideographs are words of their own."""
    assert words(text) == expected


def test_build_document_pads_each_word() -> None:
    """A substring match finds whole words. No text is null."""
    document = build_document(["red fox", "hen"])
    assert document is not None
    assert all(f" {word} " in document for word in ("red", "fox", "hen"))
    assert " red  fox " in document
    assert " fox  hen " not in document
    assert build_document([]) is None
