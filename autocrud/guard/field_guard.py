"""Field guard: keeps fields as they are that a principal may not see or change, in documents that he writes."""

from typing import Any

from autocrud.guard.documents import Path, copy_field, is_absent, value_at, without_fields
from autocrud.guard.model_guard import ModelGuard
from autocrud.policy.access import Right
from autocrud.schema.exact_numbers import dump_json, load_json


class FieldGuard:
    """Applies the field rules of one model to documents in the stored form."""

    def __init__(self, guard: ModelGuard) -> None:
        self._guard = guard

    @property
    def is_active(self) -> bool:
        """True if a document that he writes must be compared with the document before.

        That is so if a field is hidden from the principal or fixed for him, or if he may refer to some blobs only.
        """
        if self._guard.spec.has_blobs and not self._guard.permits_all_blobs:
            return True
        return self._guard.has_field_rules and bool(self._guard.hidden_paths() or self._guard.fixed_paths())

    def visible(self, data: bytes) -> bytes:
        """Return stored JSON without the hidden fields."""
        hidden = self._guard.hidden_paths()
        return without_fields(data, hidden) if hidden else data

    def restored(self, data: bytes, before: bytes, *, is_complete: bool = False) -> bytes:
        """Return a new document with the hidden fields of the document before.

        Args:
            is_complete: the new document comes from Python and has all fields, so that hidden ones are replaced.

        Raises:
            Forbidden: the new document has a hidden field, or changes a fixed one.
        """
        document, stored = load_json(data), load_json(before)
        for path in self._guard.hidden_paths():
            if not is_complete and not is_absent(value_at(document, path)):
                raise self._refusal(Right.update, path)
            copy_field(stored, document, path)
        for path in self._guard.fixed_paths():
            value = value_at(document, path)
            if is_absent(value):
                copy_field(stored, document, path)
            elif value != value_at(stored, path):
                raise self._refusal(Right.update, path)
        return dump_json(document)

    def check_new(self, document: Any) -> None:
        """Refuse a new document with a field that the principal may not set. A fixed field that is required is set.

        Args:
            document: JSON in the names of the stored form.

        Raises:
            Forbidden: the document has such a field.
        """
        for path in (*self._guard.hidden_paths(), *self._guard.fixed_paths()):
            if not is_absent(value_at(document, path)) and not self._is_required(path):
                raise self._refusal(Right.create, path)

    def check_unchanged(self, data: bytes, before: bytes) -> None:
        """Refuse a write that changes a hidden or fixed field, however it was planned.

        Raises:
            Forbidden: the write changes such a field.
        """
        document, stored = load_json(data), load_json(before)
        for path in (*self._guard.hidden_paths(), *self._guard.fixed_paths()):
            value, old = value_at(document, path), value_at(stored, path)
            if value is not old and value != old:
                raise self._refusal(Right.update, path)

    def _is_required(self, path: Path) -> bool:
        fields = getattr(self._guard.spec.model, "model_fields", {})
        return len(path) == 1 and path[0] in fields and bool(fields[path[0]].is_required())

    def _refusal(self, right: Right, path: Path) -> Exception:
        return self._guard.refusal(right, self._guard.field_name(path))
