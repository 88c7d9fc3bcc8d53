"""What the OpenAPI document promises, held against the service by schemathesis, with all of its checks."""

import os
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "0"))
HERE = Path(__file__).parent


def test_the_service_does_what_its_document_says(base: str, tmp_path: Path) -> None:
    """Over all operations: no answer that is not documented, none that breaks its schema, no 5xx."""
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
