"""Conformity of the service with its OpenAPI document, by schemathesis with all checks."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "0"))
HERE = Path(__file__).parent


def test_service_conforms_to_its_document(base: str, tmp_path: Path) -> None:
    """No undocumented answer, no broken schema, no 5xx."""
    # The same examples each time, but for a campaign.
    length = ["--max-examples", str(EXAMPLES)] if EXAMPLES else ["--max-examples", "3", "--generation-deterministic"]
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run",
            f"{base}/openapi.json", "--checks", "all", *length, "--workers", "1", "--no-color",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.conformity.hooks"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
