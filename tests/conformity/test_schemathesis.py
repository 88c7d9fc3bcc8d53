"""Conformity of the service with its OpenAPI document, by schemathesis with all checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "0"))
HERE = Path(__file__).parent


def test_service_conforms_to_its_document(base: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No undocumented answer, no broken schema, no 5xx."""
    # The phase `coverage` tries each limit of each parameter: 10,000 requests that no storage has a part in.
    is_short = not EXAMPLES and "postgres" in request.node.name
    phases = ["--phases", "examples,fuzzing,stateful"] if is_short else []
    # The same examples each time, but for a campaign.
    length = ["--max-examples", str(EXAMPLES)] if EXAMPLES else ["--max-examples", "3", "--generation-deterministic"]
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run",
            f"{base}/openapi.json", "--checks", "all", *phases, *length, "--workers", "1", "--no-color",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.conformity.hooks"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
