"""The documentation site builds strictly and without the network, and loads nothing from another host."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.servers import ROOT

# Elements that make a browser load something, and the attribute with the address.
_LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}


class _Addresses(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of a loading element."""
        address = dict(attrs).get(_LOADING.get(tag, ""))
        if address is not None:
            self.found.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site. A proxy that does not exist stands in for the network."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    variables = {**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_site_loads_nothing_from_another_host(site: Path) -> None:
    """Scripts, styles, fonts and pictures are part of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        parser = _Addresses()
        parser.feed(page.read_text())
        assert not [address for address in parser.found if re.match(r"(https?:)?//", address)], page
        assert 'class="mermaid"' not in page.read_text(), "the theme loads Mermaid from another host"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text()), style


def test_site_has_llms_txt_with_every_page(site: Path) -> None:
    """`llms.txt` is at the root, and links each page of the navigation as Markdown."""
    text = (site / "llms.txt").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert not [link for link in links if not (site / link).exists()]
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    assert {page for page in pages if not re.match(r"adr/\d", page)} == set(links)


def test_site_serves_the_diagrams(site: Path) -> None:
    """The diagrams are files of the site."""
    for name in ("layers.svg", "commit-point.svg"):
        assert (site / "images" / name).read_text().startswith("<svg")
