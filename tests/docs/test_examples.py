"""Every block of Python, of a console and of a shell in README and docs runs, and prints what the page shows."""

from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, RUN_LANGUAGES, SHOWN_LANGUAGES, read_blocks
from tests.docs.page import PageRunner
from tests.servers import ROOT


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page)], ids=_name)
def test_page_blocks_run_as_shown(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is run from its top to its end in one folder."""
    monkeypatch.chdir(tmp_path)
    with PageRunner(tmp_path) as runner:
        runner.run_all(read_blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_page_blocks_name_their_language(page: Path) -> None:
    """A block without a language, or in another spelling of it, would escape the run."""
    languages = {block.language for block in read_blocks(page)}
    assert languages <= RUN_LANGUAGES | SHOWN_LANGUAGES
