"""Headless Chromium for tests, and a record of everything that a page must not do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request

_NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT = 60_000  # milliseconds; a machine may run other tests at the same time
# Without these, Chromium asks hosts of its maker at every start.
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_chromium() -> str:
    """Return the path of Chromium.

    Raises:
        RuntimeError: Chromium is not installed.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError("Chromium is missing: run `apt-get install chromium`, or put `chromium` on the PATH")
    return found


def launch(playwright: Playwright) -> Browser:
    """Start Chromium without a window."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=_FLAGS)


@dataclass
class Record:
    """Faults of a page.

    Attributes:
        foreign_requests: addresses on other hosts.
        errors: errors on the console, such as violations of the Content-Security-Policy, and uncaught exceptions.
    """

    host: str
    foreign_requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note_request(self, request: Request) -> None:
        """Note a request to another host."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.foreign_requests.append(request.url)

    def note_message(self, message: ConsoleMessage) -> None:
        """Note an error on the console."""
        if message.type == "error":
            self.errors.append(message.text)


@contextmanager
def faultless_page(browser: Browser, base: str, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Yield a page, and check at the end that it had no errors and asked no other host.

    Args:
        base: base URL of relative addresses; ends with a slash.
    """
    context = browser.new_context(base_url=base, viewport={"width": width, "height": height})
    context.set_default_timeout(TIMEOUT)
    page, record = context.new_page(), Record(urlsplit(base).netloc)
    context.on("request", record.note_request)
    page.on("console", record.note_message)
    page.on("pageerror", lambda error: record.errors.append(str(error)))
    try:
        yield page
        assert record.foreign_requests == []
        assert record.errors == []
    finally:
        context.close()
