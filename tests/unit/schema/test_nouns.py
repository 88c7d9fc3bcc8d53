"""Unit tests of nouns, articles and plurals in OpenAPI texts."""

import pytest

from autocrud.schema.nouns import add_article, pluralize, to_noun


@pytest.mark.parametrize(
    ("label", "noun"),
    [
        ("Movie", "movie"),
        ("FormerPerson", "former person"),
        ("HTTPRequestLog", "HTTP request log"),
        ("LogOfHTTP", "log of HTTP"),
        ("Plan9Node", "plan9 node"),
        ("my_model", "my model"),
        ("_Hidden", "hidden"),
        ("A", "a"),
    ],
)
def test_to_noun_splits_labels_into_words(label: str, noun: str) -> None:
    """Words are in lower case, initialisms keep their capitals."""
    assert to_noun(label) == noun


@pytest.mark.parametrize(
    "phrase",
    [
        "a movie",
        "an article",
        "an item",
        "an umbrella",
        "an update",
        "an uninstaller",
        "a user",
        "a unicorn",
        "a unit",
        "a utility",
        "a uuid",
        "a European",
        "a ewe",
        "a one-off payment",
        "an oneiric dream",
        "an hour",
        "an heir",
        "an honour",
        "a house",
        "a year",
        "an HTTP request",
        "a URL",
        "an SMS",
        "an http log",
        "a gym",
        "an X",
        "a B2",
    ],
)
def test_add_article_follows_the_sound(phrase: str) -> None:
    """Words take "an" before a vowel sound, initialisms by the name of their first letter."""
    assert add_article(phrase.partition(" ")[2]) == phrase


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("movie", "movies"),
        ("person", "persons"),
        ("category", "categories"),
        ("soliloquy", "soliloquies"),
        ("day", "days"),
        ("box", "boxes"),
        ("branch", "branches"),
        ("dish", "dishes"),
        ("address", "addresses"),
        ("status", "statuses"),
        ("alias", "aliases"),
        ("analysis", "analyses"),
        ("axis", "axes"),
        ("quiz", "quizzes"),
        ("waltz", "waltzes"),
        ("shelf", "shelves"),
        ("leaf", "leaves"),
        ("knife", "knives"),
        ("chief", "chiefs"),
        ("photo", "photos"),
        ("series", "series"),
        ("settings", "settings"),
        ("former person", "former persons"),
        ("short URL", "short URLs"),
        ("box of chocolate", "box of chocolates"),
    ],
)
def test_pluralize_follows_the_spelling(noun: str, plural: str) -> None:
    """The last word takes the ending; a noun that is a plural already stays."""
    assert pluralize(noun) == plural
