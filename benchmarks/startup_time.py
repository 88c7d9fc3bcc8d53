"""Startup time: how long the import of the package and the build of an application with seven models take.

`python -m benchmarks.startup_time`; each figure is the median of nine processes, after one that compiles the bytecode.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Annotated

PROCESSES = 9
MAX_IMPORT_S = 0.4
MAX_BUILD_S = 0.15


def measure() -> dict[str, float]:
    """Return the seconds of the import, of the build and of the first OpenAPI document in this process."""
    begin = time.perf_counter()
    import autocrud  # noqa: F401  # the import is what is measured

    imported = time.perf_counter() - begin
    build = _builder()
    begin = time.perf_counter()
    document = build()
    built = time.perf_counter() - begin
    begin = time.perf_counter()
    document()
    return {"import": imported, "build": built, "document": time.perf_counter() - begin}


def _builder() -> Callable[[], Callable[[], object]]:
    """Return a function that builds an application with seven models and returns its `openapi` method."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    from app.models import Document, Movie, Person
    from autocrud import AutoCRUD, Index, Unique
    from autocrud.storage.memory import MemoryStorageFactory
    from examples.cinema import Director, Film

    class Account(BaseModel):
        email: Annotated[str, Unique()]
        name: Annotated[str, Index()]
        age: int | None = None

    class Session(BaseModel):
        user_id: Annotated[str, Index()]

    models = (Movie, Person, Document, Director, Film, Account, Session)

    def build() -> Callable[[], object]:
        crud = AutoCRUD(storage_factory=MemoryStorageFactory())
        for model in models:
            crud.add_model(model)
        app = FastAPI()
        crud.apply(app)
        return app.openapi

    return build


def run_processes() -> list[dict[str, float]]:
    """Return the measurements of the processes, without the first one, which compiles the bytecode."""
    command = [sys.executable, "-m", "benchmarks.startup_time", "--once"]
    with TemporaryDirectory() as folder:
        environment = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        outputs = [subprocess.check_output(command, env=environment) for _ in range(PROCESSES + 1)]
    return [json.loads(output) for output in outputs[1:]]


def main() -> None:
    """Print the medians next to their limits."""
    runs = run_processes()
    limits = {"import": f"{MAX_IMPORT_S} s", "build": f"{MAX_BUILD_S} s", "document": "none"}
    for name, limit in limits.items():
        times = sorted(run[name] for run in runs)
        median = statistics.median(times)
        print(f"{name:9} {median:.3f} s (from {times[0]:.3f} to {times[-1]:.3f}; limit: {limit})")


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(measure()))
    else:
        main()
