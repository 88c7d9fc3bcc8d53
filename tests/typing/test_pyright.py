"""Code as users write it passes pyright in its strict mode: the examples, the README and the typed tests."""

import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import read_blocks
from tests.servers import ROOT


def check_types(*paths: str | Path) -> subprocess.CompletedProcess[str]:
    """Run pyright with the settings of this project."""
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_pyright_accepts_examples_and_readme(tmp_path: Path) -> None:
    """One run checks all files. A wrong argument in one more file proves that the run checks anything."""
    blocks = [block for block in read_blocks(ROOT / "README.md") if block.language == "python"]
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"readme_{number}.py").write_text(block.content)
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from autocrud import AutoCRUD\n\nAutoCRUD(storage_factory=3)\n")
    report = check_types("examples", "tests/typing/test_types.py", tmp_path)
    errors = [line.strip() for line in report.stdout.splitlines() if " - error: " in line]
    assert [error.partition(" - error: ")[0] for error in errors] == [f"{wrong}:3:26"], report.stdout + report.stderr
    assert "storage_factory" in errors[0]
