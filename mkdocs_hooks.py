"""Hooks of the documentation site: copy the pages as Markdown beside the HTML, for the links of `llms.txt`."""

import shutil
from pathlib import Path
from typing import Any


def on_post_build(config: Any) -> None:
    """Copy every page of `docs/` into the built site."""
    docs, site = Path(config["docs_dir"]), Path(config["site_dir"])
    for page in docs.rglob("*.md"):
        shutil.copy(page, site / page.relative_to(docs))
