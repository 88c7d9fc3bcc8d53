"""Services for the conformity tests: processes on disk and on real servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.http.test_servers import postgres_settings
from tests.servers import service
from tests.servers_real import postgres, seaweed


@pytest.fixture(params=["disk", "postgres"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the base URL of a service with `app.models`."""
    settings: dict[str, Any] = {"storage": "disk"}
    if request.param == "postgres":
        name = f"conformity_{uuid4().hex[:8]}"
        settings = postgres_settings(postgres(), seaweed(), postgres_schema=name, s3_prefix=name)
    with service(tmp_path, **settings) as running:
        yield running.base
