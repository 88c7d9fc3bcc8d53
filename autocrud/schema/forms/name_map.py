"""Name map: translates documents and paths between the names of clients and the names of the stored form.

A client may name a field by its alias, by the name that answers have, or by its own name.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pydantic_core import PydanticSerializationError, from_json, to_json

from autocrud.errors import FieldError
from autocrud.schema.exact_numbers import dump_json, load_json, restore_numbers
from autocrud.schema.forms.core_schemas import Node
from autocrud.schema.forms.field_names import ABSENT, FieldName, Path, Record, Shape, ShapeBuilder, value_at
from autocrud.schema.nesting import as_index

_COMPUTED = "is computed, and cannot be changed"


class JsonText(str):
    """A text that holds JSON, and stays a text while a patch is applied."""


class PatchNames(Protocol):
    """Translates the names of a patch to the names of the document that the patch changes."""

    def to_stored_patch(self, patch: Any, target: Any, errors: list[FieldError]) -> Any:
        """Return the members of a merge patch in the names of the stored form."""

    def to_stored_path(self, path: list[str], document: Any, errors: list[FieldError]) -> tuple[list[str], Any]:
        """Return the tokens of a JSON pointer in the names of the stored form, and the place for `to_stored_value`."""

    def to_stored_value(self, value: Any, place: Any, errors: list[FieldError], /) -> Any:
        """Return a value of a JSON Patch for a place."""


class NameMap:
    """Translates the names of one model.

    Args:
        schema: the core schema of the model.

    Attributes:
        records: all records of the model.
        root: the names of the whole document.
        rewrites_input: True if clients may send names or values that the model's validator does not read: names of
            answers, computed fields, and parsed JSON.
    """

    def __init__(self, schema: Node) -> None:
        builder = ShapeBuilder(schema)
        self.records = builder.records
        self.root = builder.root
        self.has_json = builder.has_json
        self.rewrites_input = builder.has_json or any(map(_rewrites_input, builder.records))
        self.allows_extras = any(record.extra == "allow" for record in builder.records)

    def shown_path(self, path: Sequence[int | str]) -> list[int | str]:
        """Return a path of names of any sort in the names that answers have. Unknown steps stay."""
        shape, result = self.root, list[int | str]()
        for step in path:
            found = next((item for record in shape.records if (item := record.field_of(step))), None)
            result.append(step if found is None else found.shown_name)
            if found is not None:
                shape = found.shape
            elif not shape.records:
                index = as_index(step) if isinstance(step, str) else None
                shape = shape.at(step if index is None else index)
        return result

    def to_shown(self, document: Any) -> Any:
        """Return a stored document with the names that answers have."""
        return _rename_for_answer(self.root, document)

    def to_stored(self, document: Any) -> Any:
        """Return a client's document in the names of the stored form. The validator judges unknown names."""
        return _Renamer(None).rename(self.root, document, None, ())

    def rename_body(self, body: bytes) -> bytes:
        """Return JSON with the names that the validator reads, or unchanged if it has them."""
        try:
            document = load_json(body)
        except ValueError:
            return body  # the validator reports the fault
        renamed = self.to_stored(document)
        return body if renamed == document else dump_json(renamed)

    def to_stored_names(self, document: Any) -> Any:
        """Return a client's document in the names of the stored form, with all other values as the client sent them."""
        return _Renamer(None, converts_json=False).rename(self.root, document, None, ())

    def to_stored_patch(self, patch: Any, target: Any, errors: list[FieldError]) -> Any:
        """Return the members of a merge patch in the names of the stored form.

        Args:
            target: the stored document that the patch applies to.
            errors: receives an error for each name that is neither a field nor an alias.
        """
        return _Renamer(errors).rename(self.root, patch, target, ())

    def to_stored_path(self, path: Sequence[str], document: Any, errors: list[FieldError]) -> tuple[list[str], Shape]:
        """Return the tokens of a JSON pointer in the names of the stored form, and the shape of the value there."""
        shape, result, number = self.root, list[str](), 0
        while number < len(path):
            token, record = path[number], shape.record_for(document)
            if record is None or isinstance(document, list):
                index = as_index(token)
                step: int | str = token if index is None else index
                shape = shape.at(0 if token == "-" else step)
                result.append(token)
                document, number = _step_into(document, step), number + 1
                continue
            item, length = _pointed_field(record, path[number:])
            # A pointer through a member that does not exist is a conflict with the data, as any other missing path is.
            if item is None and number + 1 == len(path) and (token in record.computed or record.extra != "allow"):
                fault = _COMPUTED if token in record.computed else "is neither a field nor an alias"
                errors.append(FieldError("/" + "/".join(path), f"{token!r} {fault}"))
            name = token if item is None else item.name
            shape = Shape() if item is None else item.shape
            result.append(name)
            document, number = _step_into(document, name), number + length
        return result, shape

    def to_stored_value(self, value: Any, shape: Shape, errors: list[FieldError]) -> Any:
        """Return a value of a patch in the names of the stored form, for a place of this shape."""
        return _Renamer(errors).rename(shape, value, None, ())

    def open_json(self, document: Any) -> Any:
        """Return a stored document with parsed values in place of JSON texts."""
        return _convert_json(self.root, document, _open) if self.has_json else document

    def close_json(self, document: Any) -> Any:
        """Undo `open_json`."""
        return _convert_json(self.root, document, _close) if self.has_json else document

    def colliding_extra(self, document: Any) -> list[int | str] | None:
        """Return the path of an extra value whose name belongs to a field or a computed field; None without one."""
        return next(_collisions(self.root, document, ()), None)


class _Renamer:
    """Renames the members of one document.

    Args:
        errors: receives an error for each unknown name; None for a whole document, whose names the validator judges.
        converts_json: parse JSON texts for a patch, and write parsed JSON as text for a whole document.
    """

    def __init__(self, errors: list[FieldError] | None, *, converts_json: bool = True) -> None:
        self._errors = errors
        self._converts_json = converts_json

    def rename(self, shape: Shape, document: Any, target: Any, path: Path) -> Any:
        """Return the document, or a part of it, in the names of the stored form."""
        if shape.is_json and document is not None:
            return self._rename_json(document, path) if self._converts_json else document
        if isinstance(document, Mapping):
            record = shape.record_for(target, document)
            if record is not None:
                return self._rename_members(record, document, target, path)
            return {
                name: self.rename(shape.at(name), part, _step_into(target, name), (*path, name))
                for name, part in document.items()
            }
        if isinstance(document, list):
            return [self.rename(shape.at(number), part, None, (*path, number)) for number, part in enumerate(document)]
        return document

    def _rename_json(self, document: Any, path: Path) -> Any:
        """Return JSON as a text for the validator, or parsed for a patch."""
        if self._errors is None:
            return document if isinstance(document, str | bytes) else _json_text(document)
        try:
            return from_json(document) if isinstance(document, str) else document
        except ValueError:
            self._errors.append(FieldError(".".join(map(str, path)), "is a text that is not JSON"))
            return document

    def _rename_members(self, record: Record, document: Mapping[str, Any], target: Any, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        consumed: set[Any] = set()
        for item in record.fields:
            places = item.find(document)
            if places:
                inner = (*path, places[0][0])
                value = value_at(document, places[0])
                result[item.name] = self.rename(item.shape, value, _step_into(target, item.name), inner)
                consumed.update(place[0] for place in places)
        for name, part in document.items():
            if name in consumed or (name in record.computed and self._errors is None):
                continue
            if self._errors is not None:
                self._refuse(record, name, path)
            result.setdefault(name, part)
        return result

    def _refuse(self, record: Record, name: Any, path: Path) -> None:
        place = ".".join(map(str, (*path, name)))
        if name in record.computed and self._errors is not None:
            self._errors.append(FieldError(place, _COMPUTED))
        elif record.extra != "allow" and self._errors is not None:
            self._errors.append(FieldError(place, "is neither a field nor an alias"))


def _rewrites_input(record: Record) -> bool:
    has_aliases = any(item.sources != [(item.name,)] for item in record.fields)
    if record.computed or (record.extra == "allow" and has_aliases):
        return True
    return not all(item.reads_shown_name for item in record.fields)


def _pointed_field(record: Record, path: Sequence[str]) -> tuple[FieldName | None, int]:
    """Return the field that a pointer leads to, and the number of tokens that lead there."""
    for item in record.fields:
        for source in item.sources:
            if len(source) > 1 and list(path[: len(source)]) == [str(step) for step in source]:
                return item, len(source)
    return record.field_of(path[0]), 1


def _step_into(document: Any, step: int | str) -> Any:
    found = value_at(document, (step,))
    return None if found is ABSENT else found


def _rename_for_answer(shape: Shape, document: Any) -> Any:
    if isinstance(document, list):
        return [_rename_for_answer(shape.at(number), part) for number, part in enumerate(document)]
    if not isinstance(document, Mapping):
        return document
    record = shape.record_for(document)
    if record is None:
        return {name: _rename_for_answer(shape.at(name), part) for name, part in document.items()}
    fields = {item.name: item for item in record.fields}
    return {
        fields[name].shown_name if name in fields else name: _rename_for_answer(fields[name].shape, part)
        if name in fields
        else part
        for name, part in document.items()
    }


def _convert_json(shape: Shape, document: Any, convert: Any) -> Any:
    """Return a stored document with its JSON texts converted."""
    if shape.is_json:
        return convert(document)
    if isinstance(document, list):
        return [_convert_json(shape.at(number), part, convert) for number, part in enumerate(document)]
    if not isinstance(document, Mapping):
        return document
    record = shape.record_for(document)
    fields = {} if record is None else {item.name: item.shape for item in record.fields}
    return {name: _convert_json(fields.get(name) or shape.at(name), part, convert) for name, part in document.items()}


def _json_text(value: Any) -> Any:
    """Return a value as JSON text, or unchanged if JSON cannot represent the value."""
    try:
        return restore_numbers(to_json(value)).decode()
    except PydanticSerializationError:
        return value


def _open(text: Any) -> Any:
    try:
        value = from_json(text) if isinstance(text, str) else text
    except ValueError:
        return JsonText(text)
    return JsonText(text) if value is None and text is not None else value


def _close(value: Any) -> Any:
    return value if value is None or isinstance(value, JsonText) else restore_numbers(to_json(value)).decode()


def _collisions(shape: Shape, document: Any, path: Path) -> Iterator[list[int | str]]:
    if isinstance(document, list):
        for number, part in enumerate(document):
            yield from _collisions(shape.at(number), part, (*path, number))
    elif isinstance(document, Mapping):
        record = shape.record_for(document)
        fields = {item.name: item for item in record.fields} if record else {}
        for name, part in document.items():
            if record is None or name in fields:
                inner = fields[name].shape if name in fields else shape.at(name)
                yield from _collisions(inner, part, (*path, name))
            elif name in record.names:
                yield [*path, name]
