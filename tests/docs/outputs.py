"""Comparison of an output with the output that a page shows, apart from ids, times, tags and ports."""

import re
from dataclasses import dataclass, field

# Values that differ from run to run: generated ids, times, the times in tags, tokens and durations.
_VOLATILE = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:[.][0-9]+)?Z)"
    r"|(?P<moment>[0-9]{20})"
    r'|(?<="next_cursor":")(?P<cursor>[^"]+)'
    r"|(?<=passedin)(?P<seconds>[0-9.]+)"
)
_PATTERNS = {
    "id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:[.][0-9]+)?Z",
    "moment": "[0-9]{20}",
    "cursor": '[^"]+',
    "seconds": "[0-9.]+",
}


@dataclass
class Substitutions:
    """Values of a page's outputs, with the values of this run that stand for them."""

    actual_of: dict[str, str] = field(default_factory=dict)

    def apply(self, text: str) -> str:
        """Return a text of the page with the values of this run."""
        for shown in sorted(self.actual_of, key=len, reverse=True):
            text = text.replace(shown, self.actual_of[shown])
        return text

    def learn(self, shown: str, actual: str) -> bool:
        """Compare an output with the shown one, without spaces. Return True if they agree, and note the values.

        `…` stands for any text.
        """
        shown, actual = _without_spaces(shown), _without_spaces(actual)
        pattern, values, last = "", list[tuple[str, str]](), 0
        for match in _VOLATILE.finditer(shown):
            pattern += _literal(shown[last : match.start()])
            kind = match.lastgroup or ""
            pattern += f"({_PATTERNS[kind]})"
            values.append((kind, match[0]))
            last = match.end()
        found = re.fullmatch(pattern + _literal(shown[last:]), actual)
        if found is None:
            return False
        pairs = zip(values, found.groups(), strict=True)
        self.actual_of.update({value: other for (kind, value), other in pairs if kind != "seconds"})
        return True


def _literal(text: str) -> str:
    return re.escape(text).replace("…", ".*?")


def _without_spaces(text: str) -> str:
    return re.sub(r"\s", "", text)
