"""Shown values: a value that a client sends as an answer shows it keeps its stored value.

A model may show a value in a form that the model does not read, or reads as another value: bytes in another encoding,
or the text of a serializer. A client that sends such a value back means to leave it unchanged.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import FieldError, InvalidData
from autocrud.schema.forms.field_names import ABSENT, ANY, Path, Shape
from autocrud.schema.forms.name_map import NameMap
from autocrud.schema.nesting import as_index

_AMBIGUOUS = (
    "has changed items beside items in the form of answers, which the model does not read; send the changed items only,"
    " by a JSON Patch, or all items in the form that the model reads"
)


class ShownValues:
    """The values of one stored document as answers show them. It translates the names of a patch, as `NameMap` does.

    Args:
        label: name of the model.
        names: the names of the model.
        data: the stored form.
        answer: the shown form of the data.
    """

    def __init__(self, label: str, names: NameMap, data: bytes, answer: bytes) -> None:
        self._label = label
        self._names = names
        self._stored = from_json(data)
        self._answer = names.to_stored_names(from_json(answer))

    def keep_body(self, body: Any) -> Any:
        """Return the document of a PUT in stored names, with the stored value in place of each shown value.

        A value that answers do not show is kept, too, because a client cannot send the value.

        Raises:
            InvalidData: some items of a set are shown values, and others are new.
        """
        renamed = self._names.to_stored_names(body)
        return self._keep(self._names.root, renamed, renamed, self._answer, self._stored, (), keeps_hidden=True)

    def unchanged_part(self, body: Any) -> Any:
        """Return the part of the stored document that a PUT with this body leaves unchanged."""
        return _common_part(self._names.to_stored_names(body), self._answer, self._stored)

    def to_stored_patch(self, patch: Any, target: Any, errors: list[FieldError]) -> Any:
        """Return the members of a merge patch for the stored document."""
        renamed = self._names.to_stored_patch(patch, target, errors)
        stored = self._names.open_json(self._stored)
        return self._keep(
            self._names.root, renamed, self._names.to_stored_names(patch), self._answer, stored, (), keeps_hidden=False
        )

    def to_stored_path(
        self, path: list[str], document: Any, errors: list[FieldError]
    ) -> tuple[list[str], tuple[Shape, list[str]]]:
        """Return the tokens of a JSON pointer for the stored document, and the place for `to_stored_value`."""
        tokens, shape = self._names.to_stored_path(path, document, errors)
        return tokens, (shape, tokens)

    def to_stored_value(self, value: Any, place: tuple[Shape, list[str]], errors: list[FieldError]) -> Any:
        """Return a value of a JSON Patch for a place of the stored document."""
        shape, tokens = place
        renamed = self._names.to_stored_value(value, shape, errors)
        answer, stored = self._answer, self._names.open_json(self._stored)
        for token in tokens:
            answer, stored = _step(answer, token), _step(stored, token)
        return self._keep(shape, renamed, value, answer, stored, tuple(tokens), keeps_hidden=False)

    def _keep(
        self, shape: Shape, sent: Any, raw: Any, answer: Any, stored: Any, path: Path, *, keeps_hidden: bool
    ) -> Any:
        """Return a sent value, or the stored value if the sent value is the shown one.

        Args:
            sent: the value in the form of the result.
            raw: the value as the client sent it, in stored names.
            keeps_hidden: True if values that answers do not show stay.
        """
        if answer is ABSENT or stored is ABSENT or (raw is None and not keeps_hidden):
            return sent
        if is_same_json(raw, answer):
            return stored
        if shape.is_json:
            return sent
        if isinstance(raw, Mapping) and isinstance(answer, Mapping) and isinstance(stored, Mapping):
            return self._keep_members(shape, sent, raw, answer, stored, path, keeps_hidden=keeps_hidden)
        if isinstance(raw, list) and isinstance(answer, list) and isinstance(stored, list):
            return self._keep_items(shape, sent, raw, answer, stored, path, keeps_hidden=keeps_hidden)
        return sent

    def _keep_members(
        self, shape: Shape, sent: Any, raw: Any, answer: Any, stored: Any, path: Path, *, keeps_hidden: bool
    ) -> Any:
        record = shape.record_for(stored, raw)
        shapes = {item.name: item.shape for item in record.fields} if record else {}
        members = {}
        for name, part in sent.items():
            inner = shapes.get(name, ANY) if record else shape.at(name)
            documents = (raw.get(name, ABSENT), answer.get(name, ABSENT), stored.get(name, ABSENT))
            members[name] = self._keep(inner, part, *documents, (*path, name), keeps_hidden=keeps_hidden)
        if record and keeps_hidden:
            hidden = {name: part for name, part in stored.items() if name in shapes and name not in answer}
            return hidden | members
        return members

    def _keep_items(
        self, shape: Shape, sent: Any, raw: Any, answer: Any, stored: Any, path: Path, *, keeps_hidden: bool
    ) -> Any:
        if shape.is_set:
            if set(map(to_json, raw)) & (set(map(to_json, answer)) - set(map(to_json, stored))):
                field = ".".join(map(str, self._names.shown_path(path)))
                raise InvalidData(f"The {self._label} is not valid.", [FieldError(field, _AMBIGUOUS)])
            return sent
        if shape.is_serialized or len(answer) != len(stored):
            return sent
        places = _places_of(raw, answer)
        result = []
        for number, (part, raw_part, place) in enumerate(zip(sent, raw, places, strict=True)):
            documents = (ABSENT, ABSENT) if place is None else (answer[place], stored[place])
            inner = (*path, number)
            result.append(self._keep(shape.at(number), part, raw_part, *documents, inner, keeps_hidden=keeps_hidden))
        return result


def is_same_json(first: Any, second: Any) -> bool:
    """Return True if two JSON values are equal. Numbers equal no booleans."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(is_same_json(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same_json, first, second))
    return bool(first == second)


def _common_part(raw: Any, answer: Any, stored: Any) -> Any:
    if is_same_json(raw, answer):
        return stored
    if not (isinstance(raw, Mapping) and isinstance(answer, Mapping) and isinstance(stored, Mapping)):
        return ABSENT
    names = raw.keys() & answer.keys() & stored.keys()
    parts = {name: _common_part(raw[name], answer[name], stored[name]) for name in stored if name in names}
    return {name: part for name, part in parts.items() if part is not ABSENT}


def _places_of(raw: list[Any], answer: list[Any]) -> Iterator[int | None]:
    """Yield for each sent item the index of the equal item of the answer; for a changed record, its own index."""
    places: dict[bytes, int] = {}
    for number, item in enumerate(answer):
        places.setdefault(to_json(item), number)
    for number, item in enumerate(raw):
        is_within = number < len(answer)
        if is_within and is_same_json(item, answer[number]):
            yield number
        else:
            yield places.get(to_json(item), number if is_within and isinstance(item, Mapping) else None)


def _step(document: Any, token: str) -> Any:
    if isinstance(document, list):
        index = as_index(token)
        return document[index] if index is not None and index < len(document) else ABSENT
    return document.get(token, ABSENT) if isinstance(document, Mapping) else ABSENT
