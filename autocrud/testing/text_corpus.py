"""Text corpus: articles with expected matches, and random articles and queries."""

from random import Random
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic_core import to_json

from autocrud.schema.markers import Index
from autocrud.schema.model_spec import ModelSpec


class Article(BaseModel):
    """Model with a short text, a long text and a list of texts, all of them searched."""

    title: Annotated[str, Index(text=True)] = ""
    body: Annotated[str | None, Index(text=True, filters=False)] = None
    notes: Annotated[list[str], Index(text=True)] = []
    number: Annotated[int | None, Index()] = None
    unsearched_text: str = "unsearched"


ARTICLES: ModelSpec[Article] = ModelSpec(Article)


def article(**fields: Any) -> bytes:
    """Return the stored JSON of an article."""
    return ARTICLES.dump(ARTICLES.parse(to_json(fields)))


STORED: dict[str, dict[str, Any]] = {
    "fox": {"title": "The quick brown fox", "body": "jumps over the lazy dog"},
    "guinea": {"title": "Guinea pigs", "body": "A guinea pig is not from Guinea.", "notes": ["pets", "tiny"]},
    "cafe": {"title": "Caf\u00e9 Stra\u00dfe", "body": "e\u0301clair, na\u00efve; \ufb01ne \uff21\uff22\uff23 \u00bd"},
    "tokyo": {"title": "\u6771\u4eac\u30bf\u30ef\u30fc", "body": "\u304c\u304e \uff76\uff9e"},
    "names": {
        "title": "\u0130stanbul \u039f\u03b4\u03cc\u03c2",
        "notes": ["O'Neill", "e-mail a_b c++ x.y", "1\ufe0f\u20e3"],
    },
    "hindi": {"title": "\u0939\u093f\u0928\u094d\u0926\u0940", "body": "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22"},
    "sql": {
        "title": "NEAR AND OR NOT",
        "body": "'; DROP TABLE article_resources; -- \\ %' \"title\" : * ^ ( ) { } + & | ! <->",
    },
    "long": {"title": "x" * 200, "body": "word " * 5000 + "end"},
    "empty": {"title": "", "body": "?!\u2026 \u2014 *"},
    "null": {},
}

# What is typed, and what it finds, in any order.
QUESTIONS: dict[str, set[str]] = {
    "fox": {"fox"},
    "FOX  the": {"fox"},
    "fox pig": set(),
    "qu": set(),
    "qu*": {"fox"},
    '"quick brown"': {"fox"},
    '"brown quick"': set(),
    '"quick fox"': set(),
    '"fox jumps"': set(),  # of two texts
    '"pets tiny"': set(),
    "pets tiny": {"guinea"},
    '"quick br"*': {"fox"},
    '"lazy dog': {"fox"},  # the end of the quotation is missing
    "\u201clazy dog\u201d": {"fox"},
    "guinea -fox": {"guinea"},
    "guinea -pigs": set(),
    "a -gui*": {"names"},
    'guinea -"guinea pig"': set(),
    'guinea -"pig guinea"': {"guinea"},
    "cafe strasse": {"cafe"},
    "CAF\u00c9 STRASSE": {"cafe"},
    "\u00e9clair naive fine abc": {"cafe"},
    "\u6771\u4eac": {"tokyo"},
    "\u4eac\u6771": set(),
    "\u6771 \u30ef": {"tokyo"},
    "\u30bf*": {"tokyo"},
    "\u304b": set(),
    "\u30ac": {"tokyo"},
    "istanbul \u03bf\u03b4\u03bf\u03c3": {"names"},
    "o'neill": {"names"},
    "oneill": set(),
    "neill": {"names"},
    "e-mail": {"names"},
    "email": set(),
    "a_b": {"names"},
    "C++ 1": {"names"},
    "\u0939\u093f\u0928\u094d\u0926\u0940": {"hindi"},
    "\u0939": set(),
    "\u0939*": {"hindi"},
    "\u0e29\u0e32": {"hindi"},
    "near": {"sql"},
    "NEAR(and, or)": {"sql"},
    "title:near": set(),
    "title : near": {"sql"},
    "'; DROP TABLE article_resources; --": {"sql"},
    '" OR 1=1': set(),
    "{drop} ^table (near) +title": {"sql"},
    "drop & table | !near <-> title": {"sql"},
    "x" * 200: {"long"},
    "x" * 100: {"long"},
    "x" * 63 + "*": {"long"},
    "x" * 63: set(),
    "word end": {"long"},
    '"word word end"': {"long"},
    "unsearched": set(),
}
UNANSWERABLE = ["", " ", "*", '"', '""', "-", "-fox", '-"brown fox"', "?!", "a " * 501, " ".join(map(str, range(65)))]

_WORDS = ["a", "ab", "abc", "b", "B", "\u00e9", "e", "\u6771", "\u4eac", "a-b", "."]


def random_article(chance: Random) -> dict[str, Any]:
    """Return a few words many times, so that ranks differ little."""
    texts = [" ".join(chance.choices(_WORDS, k=chance.randrange(12))) for _ in range(4)]
    return {"title": texts[0], "body": texts[1] if chance.random() < 0.7 else None, "notes": texts[2:]}


def random_text(chance: Random) -> str:
    """Return a random text query, which may be invalid."""
    pieces = []
    for _ in range(chance.randint(1, 3)):
        words = " ".join(chance.choices(_WORDS, k=chance.randint(1, 2)))
        piece = f'"{words}"' if chance.random() < 0.5 else words
        pieces.append("-" * (chance.random() < 0.2) + piece + "*" * (chance.random() < 0.2))
    return " ".join(pieces)
