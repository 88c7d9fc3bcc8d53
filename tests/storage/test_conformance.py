"""Conformance suite and state machine on every backend (invariant 7)."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autocrud.storage.ports.storage import IStorageFactory
from autocrud.testing.conformance import StorageConformance, StoreConformance
from autocrud.testing.sample_writes import SAMPLE
from autocrud.testing.state_machine import Place, run_machine
from tests.storage.backends import BACKENDS, STORES, ordered_map_factory

# Backends of the library, and the backend of the how-to.
ALL_BACKENDS = {**BACKENDS, "ordered_map": ordered_map_factory}
ALL_STORES = (*STORES, "ordered_map")
EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "0"))


@pytest.fixture(params=ALL_BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of each backend in turn."""
    name: str = request.param
    return name


class TestStorage(StorageConformance):
    """The shipped suite on each backend."""

    @pytest.fixture
    async def factory(self, backend: str, tmp_path: Path) -> AsyncIterator[IStorageFactory]:
        """Yield the backend's open factory."""
        factory = ALL_BACKENDS[backend](tmp_path)
        await factory.open()
        yield factory
        await factory.close()


class TestStore(StoreConformance):
    """The shipped suite of stores on each backend whose models share a store."""

    @pytest.fixture(params=ALL_STORES)
    async def factory(self, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IStorageFactory]:
        """Yield the backend's open factory."""
        factory = ALL_BACKENDS[request.param](tmp_path)
        await factory.open()
        yield factory
        await factory.close()


def test_backends_with_a_store_run_the_suite_of_stores(backend: str, tmp_path: Path) -> None:
    """No backend is left out."""
    assert (ALL_BACKENDS[backend](tmp_path).build(SAMPLE).store is not None) == (backend in ALL_STORES)


def test_7_random_operations_answer_like_a_dict(backend: str) -> None:
    """Compare each backend with a plain dict (invariant 7)."""
    # A step on a server takes a hundred times as long; `make campaign` takes the time.
    examples = EXAMPLES or (40 if backend in ("memory", "disk", "ordered_map") else 5)
    with tempfile.TemporaryDirectory() as directory:

        def new_place() -> Place:
            return Place(ALL_BACKENDS[backend](Path(tempfile.mkdtemp(dir=directory))), backend != "memory")

        run_machine(new_place, examples=examples)
