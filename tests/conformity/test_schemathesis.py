"""Conformity of the service with its OpenAPI document, by schemathesis with all checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "0"))
HERE = Path(__file__).parent


def test_service_conforms_to_its_document(base: str, tmp_path: Path) -> None:
    """No undocumented answer, no broken schema, no 5xx."""
    _run(base, tmp_path, "--phases", "examples,fuzzing,stateful")


@pytest.mark.parametrize("base", ["disk"], indirect=True)
def test_limits_of_parameters_conform_to_the_document(base: str, tmp_path: Path) -> None:
    """Try each limit of each parameter: thousands of requests, in which no storage has a part.

    Each model has the same routes, so that one model is enough outside a campaign.
    """
    selection = [] if EXAMPLES else ["--include-operation-id-regex", "document"]
    _run(base, tmp_path, "--phases", "coverage", *selection)


def _run(base: str, folder: Path, *options: str) -> None:
    """Run schemathesis in a folder. The examples are the same each time, but for a campaign."""
    length = ["--max-examples", str(EXAMPLES)] if EXAMPLES else ["--max-examples", "3", "--generation-deterministic"]
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run",
            f"{base}/openapi.json", "--checks", "all", *options, *length, "--workers", "1", "--no-color",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.conformity.hooks"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
