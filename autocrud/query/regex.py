"""Regular expressions of filters: the part of the syntax that means the same to RE2 and to PostgreSQL.

Literals, `.`, `[…]`, `\\d \\w \\s` (ASCII) and their opposites, groups, `|`, `^` and `$` (of the whole text), and the
quantifiers `* + ? {m,n}`. There are no back-references, look-arounds, flags or word boundaries. A pattern is rewritten
so that nothing is left to an engine's defaults; both match in time linear in the text.
"""

from functools import lru_cache
from typing import Any

import re2

MAX_LENGTH = 200
_MAX_SIZE = 1000  # of what the quantifiers come to
_MAX_REPEAT = 255  # PostgreSQL's
_MAX_DEPTH = 20
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r" \t\n\r\f\v"}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}


def canonical(pattern: str) -> str:
    """The pattern as both engines take it.

    Raises:
        ValueError: it is none, or has what they do not share; the message says where.
    """
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"a pattern may have at most {MAX_LENGTH} characters")
    parser = _Parser(pattern)
    text, size = parser.alternatives(0)
    if parser.place < len(pattern):
        raise parser.error("has a ) without its (")
    if size > _MAX_SIZE:
        raise ValueError("the repetitions come to too much")
    return text


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """RE2's program for a canonical pattern; it has `search`."""
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    return re2.compile(pattern, options)


class _Parser:
    """A recursive descent, in which each step returns the rewritten text and its size."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.place = 0

    def error(self, reason: str) -> ValueError:
        """What is wrong, and where."""
        return ValueError(f"{reason}, at character {self.place}")

    def alternatives(self, depth: int) -> tuple[str, int]:
        """What stands between `|`."""
        if depth > _MAX_DEPTH:
            raise self.error("is nested too deeply")
        found = [self._sequence(depth)]
        while self._next() == "|":
            self.place += 1
            found.append(self._sequence(depth))
        return "|".join(text for text, _ in found), sum(size for _, size in found)

    def _sequence(self, depth: int) -> tuple[str, int]:
        texts, total = [], 0
        while self._next() not in ("", "|", ")"):
            anchored = self._next() in ("^", "$")
            text, size = self._atom(depth)
            least, most = self._quantifier()
            if anchored and (least, most) != (1, 1):
                raise self.error("repeats an anchor")
            texts.append(text + _repeated(least, most))
            total += size * max(least, most or 1)
        return "".join(texts) or "(?:)", total + 1

    def _atom(self, depth: int) -> tuple[str, int]:
        character = self._take()
        if character in ("^", "$", "."):
            return character, 1
        if character == "(":
            return self._group(depth)
        if character == "[":
            return self._set(), 1
        if character == "\\":
            kind = self._take()
            if kind.lower() in _CLASSES:
                return f"[{'^' if kind.isupper() else ''}{_CLASSES[kind.lower()]}]", 1
            return _literal(self._escaped(kind)), 1
        if character in "*+?{":
            raise self.error("repeats nothing")
        return _literal(character), 1

    def _group(self, depth: int) -> tuple[str, int]:
        if self._next() == "?":
            self.place += 1
            if self._take() != ":":
                raise self.error("has a group of a kind that is not known here")
        text, size = self.alternatives(depth + 1)
        if self._take() != ")":
            raise self.error("has a ( without its )")
        return f"(?:{text})", size

    def _set(self) -> str:
        negated = self._next() == "^"
        self.place += negated
        items: list[str] = []
        while self._next() != "]" or not items:
            first = self._member()
            if first is None:
                items.append(_CLASSES[self._pattern[self.place - 1]])
                continue
            last = first
            if self._next() == "-" and self._pattern[self.place + 1 : self.place + 2] != "]":
                self.place += 1
                ended = self._member()
                if ended is None or ended < first:
                    raise self.error("has a range that ends before it begins")
                last = ended
            items.append(_literal(first) if first == last else f"{_literal(first)}-{_literal(last)}")
        self.place += 1
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _member(self) -> str | None:
        """One character of a set; None for a class, whose letter was the last one taken."""
        character = self._take()
        if character != "\\":
            return character
        kind = self._take()
        return None if kind in _CLASSES else self._escaped(kind)

    def _escaped(self, kind: str) -> str:
        if kind in _CONTROLS:
            return _CONTROLS[kind]
        if kind.isalnum():
            raise self.error(f"has \\{kind}, which is not known here")
        return kind

    def _quantifier(self) -> tuple[int, int | None]:
        """How often at least and at most."""
        found: tuple[int, int | None] = (1, 1)
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._next() in simple:
            found = simple[self._take()]
        elif self._next() == "{":
            self.place += 1
            least, comma, most = self._until("}").partition(",")
            if not (least.isdecimal() and least.isascii() and (most or "0").isdecimal() and most.isascii()):
                raise self.error("has a { that begins no {m}, {m,} or {m,n}")
            found = int(least), int(most) if most else None if comma else int(least)
            if max(found[0], found[1] or 0) > _MAX_REPEAT or (found[1] is not None and found[1] < found[0]):
                raise self.error(f"has a {{m,n}} that is not within 0 to {_MAX_REPEAT}")
        else:
            return found
        if self._next() == "?":
            self.place += 1  # how much is matched does not matter, only whether
        if self._next() in ("*", "+", "?", "{") and self._next():
            raise self.error("repeats a repetition")
        return found

    def _next(self) -> str:
        return self._pattern[self.place : self.place + 1]

    def _take(self) -> str:
        character = self._next()
        if not character:
            raise self.error("ends too early")
        self.place += 1
        return character

    def _until(self, end: str) -> str:
        start = self.place
        while self._take() != end:
            pass
        return self._pattern[start : self.place - 1]


def _literal(character: str) -> str:
    """A character that both engines take for itself."""
    if character == "\0":
        raise ValueError("a pattern may not hold the character U+0000")
    return character if character.isalnum() or not character.isascii() or character == "_" else f"\\{character}"


def _repeated(least: int, most: int | None) -> str:
    if (least, most) == (1, 1):
        return ""
    return f"{{{least},{'' if most is None else most}}}"
