"""Changes between two fingerprints of a model, in words, and the step that fits them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.schema.versions.fingerprint import ITEM, FieldForm, Fingerprint, Kind, Path

_CONTAINERS = frozenset({"object", "array"})
_UPPER = frozenset({"maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties"})
_LOWER = frozenset({"minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties"})


class ChangeKind(StrEnum):
    """Kinds of changes of a field."""

    added = "added"
    removed = "removed"
    required = "required"
    optional = "optional"
    type = "type"


@dataclass(frozen=True)
class FieldChange:
    """A change of one field.

    Attributes:
        old, new: form of the field before and after; None if the field did not exist.
        is_noticed: True if stored data may not fit the change.
    """

    kind: ChangeKind
    path: Path
    old: FieldForm | None
    new: FieldForm | None
    is_noticed: bool

    def __str__(self) -> str:
        name = f"field {path_text(self.path)}" if self.path else "the model"
        match self.kind:
            case ChangeKind.added:
                return f"{name} was added{' and is required' if self.is_noticed else ''}"
            case ChangeKind.removed:
                return f"{name} was removed"
            case ChangeKind.required:
                return f"{name} is required now"
            case ChangeKind.optional:
                return f"{name} is optional now"
        return f"{name} changed from {_kinds_text(self.old)} to {_kinds_text(self.new)}"

    @property
    def lost_kinds(self) -> list[Kind]:
        """Kinds of stored values that the field no longer accepts."""
        old, new = self.old.kinds if self.old else (), self.new.kinds if self.new else ()
        return _lost_kinds(old, new)


def path_text(path: Path) -> str:
    """Return a path as text, as in `lines[].price`."""
    return ".".join(path).replace(f".{ITEM}", ITEM)


def find_changes(old: Fingerprint, new: Fingerprint) -> list[FieldChange]:
    """Return the changes that lead from one fingerprint to another. Parts of an added or removed field are left out."""
    before, after = {form.path: form for form in old}, {form.path: form for form in new}
    hidden = {path for path in before.keys() | after.keys() if _appears_or_goes(before.get(path), after.get(path))}
    found: list[FieldChange] = []
    for path in dict.fromkeys([*before, *after]):
        if not any(path[:length] in hidden for length in range(len(path))):
            found += _changes_of(path, before.get(path), after.get(path))
    return found


def _changes_of(path: Path, old: FieldForm | None, new: FieldForm | None) -> Iterator[FieldChange]:
    if new is None:
        yield FieldChange(ChangeKind.removed, path, old, None, True)
    elif old is None:
        yield FieldChange(ChangeKind.added, path, None, new, new.required)
    else:
        if _texts(old.kinds) != _texts(new.kinds):
            yield FieldChange(ChangeKind.type, path, old, new, bool(_lost_kinds(old.kinds, new.kinds)))
        if old.required is not new.required:
            kind = ChangeKind.required if new.required else ChangeKind.optional
            yield FieldChange(kind, path, old, new, new.required)


def _appears_or_goes(old: FieldForm | None, new: FieldForm | None) -> bool:
    """Return True if the parts of a field come or go with the field itself."""
    if old is None or new is None:
        return True
    return _CONTAINERS & {kind["type"] for kind in old.kinds} != _CONTAINERS & {kind["type"] for kind in new.kinds}


def _lost_kinds(old: Sequence[Kind], new: Sequence[Kind]) -> list[Kind]:
    return [kind for kind in old if not any(_accepts(candidate, kind) for candidate in new)]


def _accepts(new: Kind, old: Kind) -> bool:
    """Return True if every value of the old kind is a value of the new kind."""
    old_type, new_type = old["type"], new["type"]
    if new_type == "any":
        return True
    if old_type == "value":
        if new_type == "value":
            return to_json(old["value"]) == to_json(new["value"])
        old, old_type = {"type": _type_of(old["value"])}, _type_of(old["value"])
    if old_type != new_type and (old_type, new_type) != ("integer", "number"):
        return False
    return all(_is_wider(str(name), old.get(name), new.get(name)) for name in {*old, *new} - {"type"})


def _is_wider(name: str, old: Any, new: Any) -> bool:
    """Return True if a limit leaves at least the values that it left before. None is no limit."""
    if old == new:
        return True
    if name == "extra":
        return bool(old != "allow")  # the stored form has extra values only if the model allowed them
    if new is None:
        return True
    if old is None:
        return False
    return (name in _UPPER and new >= old) or (name in _LOWER and new <= old)


def _type_of(value: Any) -> str:
    names = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _texts(kinds: Sequence[Kind]) -> list[bytes]:
    return sorted(to_json(from_json(to_json(dict(sorted(kind.items()))))) for kind in kinds)


def _kinds_text(form: FieldForm | None) -> str:
    return " or ".join(map(_kind_text, form.kinds)) if form and form.kinds else "nothing"


def _kind_text(kind: Mapping[str, Any]) -> str:
    if kind["type"] == "value":
        return to_json(kind["value"]).decode()
    name = " ".join(part for part in (kind.get("format"), kind["type"]) if part)
    limits = ", ".join(f"{limit} {value}" for limit, value in kind.items() if limit not in ("type", "format"))
    return f"{name} ({limits})" if limits else name
