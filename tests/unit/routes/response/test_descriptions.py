"""Descriptions: docstrings as Markdown for OpenAPI."""

import pytest

from autocrud.routes.response.descriptions import description_of, without_sections


def test_description_of_indented_docstring_is_dedented() -> None:
    """A deliberate indent inside the docstring stays."""
    docstring = """Do a thing.

        Second paragraph:

            code
        """
    assert description_of(docstring) == "Do a thing.\n\nSecond paragraph:\n\n    code"


@pytest.mark.parametrize("docstring", [None, "", "\n    Args:\n        a: b.\n    "])
def test_description_of_docstring_without_text_is_empty(docstring: str | None) -> None:
    """A docstring may be absent, or have sections only."""
    assert description_of(docstring) == ""


def test_without_sections_keeps_the_text_around_sections() -> None:
    """A section ends at the first line without an indent."""
    text = "A.\n\nArgs:\n    a: b\n        c.\n\n    d: e.\n\nAfter.\n\nRaises:\n    X: y."
    assert without_sections(text) == "A.\n\nAfter."
    assert without_sections("It returns:\n    a list.\n\nReturns: x") == "It returns:\n    a list.\n\nReturns: x"
