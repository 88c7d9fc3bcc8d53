"""Private files: files and folders of a store that other users of the machine cannot read."""

import os
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def open_private(path: str | os.PathLike[str], flags: int) -> int:
    """Return a descriptor of a file. Only the user may read a file that this call creates; an `opener` of `open`."""
    return os.open(path, flags, FILE_MODE)


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents. Only the user may enter the created folders."""
    if not folder.exists():
        make_private_folder(folder.parent)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
