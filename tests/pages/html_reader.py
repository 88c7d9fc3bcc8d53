"""Reader of pages: elements and texts, as a browser's parser finds them in valid HTML."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "input", "img", "br"})
Attributes = dict[str, str]


@dataclass
class Page(HTMLParser):
    """A parsed page.

    Attributes:
        elements: name and attributes of each element, in order.
        texts: all texts outside of styles and scripts.
    """

    content: str
    elements: list[tuple[str, Attributes]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)
        self._open: list[str] = []
        self.feed(self.content)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that elements are closed in order."""
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._open and self._open[-1] not in ("style", "script") and data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        """All texts, separated by spaces."""
        return " ".join(self.texts)

    def find(self, tag: str) -> list[Attributes]:
        """Return the attributes of each element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def hrefs(self) -> list[str]:
        """Return the address of each link."""
        return [attributes["href"] for attributes in self.find("a")]
