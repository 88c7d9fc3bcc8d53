"""Regular expressions of filters: the common subset of RE2's and PostgreSQL's syntax.

The subset has literals, `.`, `[…]`, groups, `|` and the quantifiers `* + ? {m,n}`. The anchors `^` and `$` match the
start and the end of the text. The classes `\\d \\w \\s` and their negations are ASCII. There are no back-references,
look-arounds, flags or word boundaries. The canonical form of a pattern means the same in both engines. Both match in
time linear in the text.
"""

from functools import lru_cache
from typing import Any

MAX_LENGTH = 200
_MAX_SIZE = 1000  # atoms, each counted as often as its quantifiers repeat it
_MAX_REPEAT = 255  # PostgreSQL's limit (DUPMAX)
_MAX_DEPTH = 20
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r" \t\n\r\f\v"}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}


def canonicalize(pattern: str) -> str:
    """Return the canonical form of a pattern.

    Raises:
        ValueError: the pattern is invalid or uses syntax outside the subset; the message gives the position.
    """
    if len(pattern) > MAX_LENGTH:
        raise ValueError(f"a pattern must have at most {MAX_LENGTH} characters")
    parser = _Parser(pattern)
    text, size = parser.parse_alternatives(0)
    if parser.position < len(pattern):
        raise parser.error("has a ) without a (")
    if size > _MAX_SIZE:
        raise ValueError(f"the pattern repeats too much: quantifiers must expand it to at most {_MAX_SIZE} characters")
    return text


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Any:
    """Compile a canonical pattern with RE2. The result has a `search` method."""
    import re2  # here, because few processes filter by patterns

    options = re2.Options()
    options.dot_nl = True  # as in PostgreSQL, where a dot matches a newline
    options.log_errors = False
    return re2.compile(pattern, options)


class _Parser:
    """A recursive-descent parser. Each method returns the canonical text of a part and its size in atoms."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.position = 0

    def error(self, reason: str) -> ValueError:
        """Return an error with the position in the pattern."""
        return ValueError(f"{reason}, at character {self.position}")

    def parse_alternatives(self, depth: int) -> tuple[str, int]:
        """Parse alternatives separated by `|`."""
        if depth > _MAX_DEPTH:
            raise self.error(f"is nested too deeply: more than {_MAX_DEPTH} levels")
        sequences = [self._parse_sequence(depth)]
        while self._peek() == "|":
            self.position += 1
            sequences.append(self._parse_sequence(depth))
        return "|".join(text for text, _ in sequences), sum(size for _, size in sequences)

    def _parse_sequence(self, depth: int) -> tuple[str, int]:
        texts, total = [], 0
        while self._peek() not in ("", "|", ")"):
            is_anchor = self._peek() in ("^", "$")
            text, size = self._parse_atom(depth)
            least, most = self._parse_quantifier()
            if is_anchor and (least, most) != (1, 1):
                raise self.error("repeats an anchor")
            texts.append(text + _format_quantifier(least, most))
            total += size * max(least, most or 1)
        return "".join(texts) or "(?:)", total + 1

    def _parse_atom(self, depth: int) -> tuple[str, int]:
        character = self._take()
        if character in ("^", "$", "."):
            return character, 1
        if character == "(":
            return self._parse_group(depth)
        if character == "[":
            return self._parse_set(), 1
        if character == "\\":
            kind = self._take()
            if kind.lower() in _CLASSES:
                return f"[{'^' if kind.isupper() else ''}{_CLASSES[kind.lower()]}]", 1
            return _escape(self._unescape(kind)), 1
        if character in "*+?{":
            raise self.error("has a quantifier without a preceding character or group")
        return _escape(character), 1

    def _parse_group(self, depth: int) -> tuple[str, int]:
        if self._peek() == "?":
            self.position += 1
            if self._take() != ":":
                raise self.error("has an unsupported kind of group; use ( ) or (?: )")
        text, size = self.parse_alternatives(depth + 1)
        if self._take() != ")":
            raise self.error("has a ( without a )")
        return f"(?:{text})", size

    def _parse_set(self) -> str:
        negated = self._peek() == "^"
        self.position += negated
        items: list[str] = []
        while self._peek() != "]" or not items:
            first = self._parse_member()
            if first is None:
                items.append(_CLASSES[self._pattern[self.position - 1]])
                continue
            last = first
            if self._peek() == "-" and self._pattern[self.position + 1 : self.position + 2] != "]":
                self.position += 1
                end = self._parse_member()
                if end is None or end < first:
                    raise self.error("has a range whose end is a class or precedes its start")
                last = end
            items.append(_escape(first) if first == last else f"{_escape(first)}-{_escape(last)}")
        self.position += 1
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _parse_member(self) -> str | None:
        """Parse one character of a set. Return None for a class such as `\\d`, whose letter precedes the position."""
        character = self._take()
        if character != "\\":
            return character
        kind = self._take()
        return None if kind in _CLASSES else self._unescape(kind)

    def _unescape(self, kind: str) -> str:
        if kind in _CONTROLS:
            return _CONTROLS[kind]
        if kind.isalnum():
            raise self.error(f"has the unsupported escape \\{kind}")
        return kind

    def _parse_quantifier(self) -> tuple[int, int | None]:
        """Parse a quantifier. Return the minimum and maximum number of repetitions; None as maximum is unlimited."""
        bounds: tuple[int, int | None] = (1, 1)
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._peek() in simple:
            bounds = simple[self._take()]
        elif self._peek() == "{":
            self.position += 1
            least, comma, most = self._take_until("}").partition(",")
            if not (least.isdecimal() and least.isascii() and (most or "0").isdecimal() and most.isascii()):
                raise self.error("has a { that does not begin {m}, {m,} or {m,n}")
            bounds = int(least), int(most) if most else None if comma else int(least)
            if max(bounds[0], bounds[1] or 0) > _MAX_REPEAT or (bounds[1] is not None and bounds[1] < bounds[0]):
                raise self.error(f"has a {{m,n}} with m greater than n, or outside 0 to {_MAX_REPEAT}")
        else:
            return bounds
        if self._peek() == "?":
            # A lazy quantifier changes the length of a match, never its existence, so a filter ignores it.
            self.position += 1
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise self.error("repeats a quantifier")
        return bounds

    def _peek(self) -> str:
        return self._pattern[self.position : self.position + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise self.error("ends too early: a group, set, escape or quantifier is incomplete")
        self.position += 1
        return character

    def _take_until(self, end: str) -> str:
        start = self.position
        while self._take() != end:
            pass
        return self._pattern[start : self.position - 1]


def _escape(character: str) -> str:
    """Return the text that matches exactly this character in both engines."""
    if character == "\0":
        raise ValueError("a pattern must not contain the character U+0000")
    return character if character.isalnum() or not character.isascii() or character == "_" else f"\\{character}"


def _format_quantifier(least: int, most: int | None) -> str:
    if (least, most) == (1, 1):
        return ""
    return f"{{{least},{'' if most is None else most}}}"
