"""Guarded transfer: export and import under the rules of a model."""

from collections.abc import AsyncIterator
from typing import Any

from autocrud.guard.model_guard import ModelGuard
from autocrud.manager.queries import Where
from autocrud.manager.transfer.importer import Progress, Refusal
from autocrud.manager.transfer.service import Transfer
from autocrud.policy.access import Right
from autocrud.policy.rules import all_hold
from autocrud.storage.ports.types import Head


class GuardedTransfer(Transfer):
    """Exports what a principal may read, and imports if he may do so with all resources.

    Args:
        exports: reads what the principal may see.
        imports: writes without rules. An import sets authors and times, so its right is for all resources or for none.
    """

    def __init__(self, guard: ModelGuard, exports: Transfer, imports: Transfer) -> None:
        self._guard = guard
        self._exports = exports
        self._imports = imports

    def export(self, where: Where = None, *, history: bool = False, **options: Any) -> AsyncIterator[bytes]:
        """Yield lines as `Transfer.export` does. A history needs the right to all of the history, and to all fields."""
        rights = (Right.read, Right.export, *([Right.history] if history else []))
        verdict = self._guard.require(*rights)
        if history and (verdict is not True or self._guard.hidden_paths()):
            raise self._guard.refusal(Right.history)
        return self._exports.export(where, history=history, **options)

    def heads(self, where: Where = None, **options: Any) -> AsyncIterator[Head]:
        """Yield heads as `Transfer.heads` does."""
        self._guard.require(Right.read, Right.export)
        return self._exports.heads(where, **options)

    def load(
        self, body: AsyncIterator[bytes], *, by: str | None = None, **options: Any
    ) -> AsyncIterator[Refusal | Progress]:
        """Import lines as `Transfer.load` does. Lines without fields that the principal may not see would lose them."""
        verdict = all_hold(self._guard.require(Right.import_), self._guard.require(Right.read))
        if verdict is not True or self._guard.hidden_paths():
            raise self._guard.refusal(Right.import_)
        return self._imports.load(body, by=by or self._guard.principal_id(), **options)
