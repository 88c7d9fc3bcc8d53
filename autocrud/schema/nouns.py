"""Nouns for OpenAPI texts: a model's label as words, with an article or in the plural."""

import re

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")
_INITIALISM = re.compile(r"[A-Z][A-Z0-9]+|[^AEIOUYaeiouy]+")
# Letters whose names begin with a vowel sound, such as F ("eff").
_VOWEL_LETTERS = "AEFHILMNORSX"
_SILENT_H = re.compile(r"heir|hour|hono|hones")
# A vowel that sounds like "you" (user, unit, euro, ewe) or like "won" (one, once).
_CONSONANT_SOUND = re.compile(r"u[bcfghjkqrst]?[aeiou]|uni(?![mn])|unanim|eu|ewe|once|one(?![a-z])")

# The first pattern that matches the end of a noun decides on its plural.
_PLURALS = (
    (re.compile(r"(?<=[^aious])s$"), "s"),  # movies, settings, series: a plural already, or like one
    (re.compile(r"(?<=[sx])is$"), "es"),  # analysis, axis
    (re.compile(r"(?<=[aeiou])z$"), "zzes"),  # quiz
    (re.compile(r"(?:(?<=[sxz])|(?<=[cs]h))$"), "es"),  # box, status, branch, dish
    (re.compile(r"(?:(?<=[^aeiou])|(?<=qu))y$"), "ies"),  # category
    (re.compile(r"(?<=[ae]l)f$|(?<=[eo]a)f$|(?<=i)fe$"), "ves"),  # shelf, leaf, knife
    (re.compile(r"$"), "s"),
)


def to_noun(label: str) -> str:
    """Return a class name as words in lower case, except for initialisms: `HTTPRequestLog` as `HTTP request log`."""
    words = [word for word in _WORD_START.split(label) if word]
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)


def add_article(noun: str) -> str:
    """Return a noun with "a" or "an", by the sound with which it begins: `an article`, `an hour`, `a user`."""
    first = noun.partition(" ")[0]
    if _INITIALISM.fullmatch(first):
        is_vowel = first[0].upper() in _VOWEL_LETTERS
    else:
        word = first.lower()
        is_vowel = bool(_SILENT_H.match(word)) or (word[:1] in "aeiou" and not _CONSONANT_SOUND.match(word))
    return f"{'an' if is_vowel else 'a'} {noun}"


def begin_sentence(noun: str) -> str:
    """Return a noun with its article and a capital, as a sentence begins: `An article`."""
    text = add_article(noun)
    return text[0].upper() + text[1:]


def pluralize(noun: str) -> str:
    """Return the plural of a noun by its spelling: `movies`, `categories`, `boxes`, `days`, `persons`."""
    return next(pattern.sub(ending, noun, count=1) for pattern, ending in _PLURALS if pattern.search(noun))
