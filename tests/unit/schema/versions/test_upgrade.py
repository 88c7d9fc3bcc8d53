"""Upgrader: upgrades of documents, and the steps at fault."""

import asyncio
import threading
import time
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from autocrud import Schema
from autocrud.migrations import fill, rename
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions import upgrade
from autocrud.schema.versions.time_limit import TimeUp, call_with_limit
from autocrud.schema.versions.upgrade import NewerVersion, UpgradeError


class Account(BaseModel):
    """A model with a validator that is not idempotent."""

    name: str
    secret: str = "none"
    tags: set[str] = set()

    @field_validator("secret")
    @classmethod
    def seal(cls, value: str) -> str:
        """Seal the secret once more."""
        if value == "broken":
            raise LookupError(value)
        return f"sealed:{value}"


class TextlessError(Exception):
    """An error whose text fails."""

    def __str__(self) -> str:
        raise ValueError("no text")


def raise_error(error: BaseException) -> Any:
    """Return a step that raises an error."""

    def fail(document: dict[str, Any]) -> Any:
        raise error

    return fail


def make_cycle(document: dict[str, Any]) -> dict[str, Any]:
    """Put a document into itself."""
    document["name"] = document
    return document


def spec_of(*functions: Any, version: int = 2, **options: Any) -> ModelSpec[Any]:
    """Return the model with one step."""
    return ModelSpec(Account, schema=Schema(version, **options).step(version - 1, version, *functions))


def spin(end: float) -> None:
    """Return at a time."""
    while time.monotonic() < end:
        pass


def loop(document: dict[str, Any]) -> dict[str, Any]:
    """Loop for ever, and swallow errors."""
    while True:
        try:
            len(document)
        except Exception:  # as a careless step does
            continue


def test_upgrade_writes_the_stored_form_of_the_model() -> None:
    """Defaults are filled in, sets sorted, and a validator that would change a value is left out."""
    spec = spec_of(rename("title", "name"))
    stored = b'{"title":"Ann","secret":"sealed:x","tags":["b","a"]}'
    assert spec.upgrader.upgrade(stored, 1) == b'{"name":"Ann","secret":"sealed:x","tags":["a","b"]}'
    assert spec.upgrader.upgrade(b'{"name":"Ann"}', 2) == b'{"name":"Ann"}'


@pytest.mark.parametrize(
    ("function", "field", "reason"),
    [
        (lambda document: None, None, "returned NoneType"),
        (lambda document: [document], None, "returned list"),
        (lambda document: document["absent"], "absent", "KeyError"),
        (lambda document: {"name": 5}, "name", "does not fit the model"),
        (lambda document: {**document, "name": object()}, None, "cannot be written as JSON"),
        (lambda document: {**document, "name": float("nan")}, "name", "does not fit"),
        (rename("secret", "name"), "name", "exists already"),
        (loop, None, "did not end within"),
        (raise_error(SystemExit(3)), None, "SystemExit: 3"),
        (raise_error(asyncio.CancelledError()), None, "CancelledError"),
        (raise_error(TextlessError()), None, "TextlessError"),
        (make_cycle, None, "the result cannot be JSON"),
        (lambda document: {"name": "Ann", "secret": "broken"}, None, "a validator raises LookupError: broken"),
    ],
)
def test_failing_step_names_itself_and_the_field(
    function: Any, field: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "STEP_SECONDS", 0.2)
    spec = spec_of(function)
    for _ in range(2):
        with pytest.raises(UpgradeError, match=reason) as raised:
            spec.upgrader.upgrade(b'{"name":"Ann","secret":"x"}', 1)
        assert raised.value.step.startswith("step 1 to 2")
        assert raised.value.field == field


def test_step_without_functions_names_itself() -> None:
    with pytest.raises(UpgradeError, match="Field required") as raised:
        spec_of().upgrader.upgrade(b'{"secret":"x"}', 1)
    assert (raised.value.step, raised.value.field) == ("step 1 to 2", "name")


def test_document_outside_the_known_versions_is_refused() -> None:
    spec = spec_of(version=3, oldest=2)
    with pytest.raises(UpgradeError, match="older than the oldest known, 2"):
        spec.upgrader.upgrade(b'{"name":"Ann"}', 1)
    with pytest.raises(NewerVersion):
        spec.upgrader.upgrade(b'{"name":"Ann"}', 4)
    spec.upgrader.downgrades[4] = [rename("title", "name"), fill("secret", "s")]
    assert spec.upgrader.upgrade(b'{"title":"Ann"}', 4) == b'{"name":"Ann","secret":"s","tags":[]}'


def test_time_limit_ends_a_call_in_its_own_thread() -> None:
    """A call that ends at the same moment is not disturbed later."""
    with pytest.raises(TimeUp):
        call_with_limit(loop, {}, seconds=0.01)
    for _ in range(3):
        try:
            call_with_limit(spin, time.monotonic() + 0.1, seconds=0.05)
        except TimeUp:
            continue
    outcomes: list[str] = []

    def run() -> None:
        try:
            call_with_limit(loop, {}, seconds=0.01)
        except TimeUp:
            outcomes.append("ended")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert outcomes == ["ended"]
    assert call_with_limit(sum, [1, 2], seconds=1) == 3
