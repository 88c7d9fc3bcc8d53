"""Field names: the names of a model's fields in the stored form, in requests and in answers, from its core schema."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from autocrud.schema.forms.core_schemas import FIELD_TYPES, Node, has_user_serializer

Path = tuple[int | str, ...]
ABSENT: Any = object()

_RECORD_TYPES = frozenset({"model-fields", "dataclass-args", "typed-dict"})
_LIST_TYPES = frozenset({"list", "set", "frozenset", "deque", "generator"})
_WRAPPED_KEYS = ("schema", "lax_schema", "json_schema")


@dataclass(slots=True, eq=False)
class FieldName:
    """One field of a record.

    Attributes:
        name: name in the stored form.
        shown_name: name in answers.
        sources: the paths that the model's validator reads.
        constants: the only values that the field accepts; empty if others are accepted, too.
    """

    name: str
    shown_name: str
    sources: list[Path]
    shape: "Shape"
    constants: tuple[Any, ...] = ()

    @property
    def reads_shown_name(self) -> bool:
        """Return True if the validator reads the name that answers have."""
        return self.shown_name == self.name or (self.shown_name,) in self.sources

    def find(self, document: Mapping[str, Any]) -> list[Path]:
        """Return the places of a document that give the field a value, the validator's own places first."""
        paths = dict.fromkeys([*self.sources, (self.name,), (self.shown_name,)])
        return [path for path in paths if value_at(document, path) is not ABSENT]


@dataclass(slots=True, eq=False)
class Record:
    """The fields of a model, a dataclass or a TypedDict.

    Attributes:
        computed: names of computed fields in answers.
        extra: "allow", "ignore" or "forbid".
    """

    label: str
    fields: list[FieldName] = field(default_factory=list)
    computed: set[str] = field(default_factory=set)
    extra: str = "ignore"

    @property
    def names(self) -> set[Any]:
        """All names that have a meaning in the record's documents."""
        sources = {path[0] for item in self.fields for path in item.sources}
        return sources | {name for item in self.fields for name in (item.name, item.shown_name)} | self.computed

    def field_of(self, name: Any) -> FieldName | None:
        """Return the field that a client means by a name."""
        for item in self.fields:
            if name in (item.name, item.shown_name) or (name,) in item.sources:
                return item
        return None

    def fit(self, document: Mapping[str, Any]) -> int:
        """Return a measure of how well a document matches the names and constants of the record."""
        names = self.names
        points = sum(1 if name in names else -1 for name in document)
        for item in self.fields:
            if item.constants and (found := item.find(document)):
                points += 100 if value_at(document, found[0]) in item.constants else -100
        return points


@dataclass(slots=True, eq=False)
class Shape:
    """The names that a value can have at one place of a document.

    Attributes:
        records: the records that the value can be; several in a union.
        items: shape of a list's items or of a mapping's values.
        positions: shapes of a tuple's first items.
        is_json: the value is JSON inside a text.
        is_set: the value is a set, whose items have another order in answers.
        is_serialized: a serializer of the user writes the value.
        parts: the shapes of a union's variants, and of the value inside a wrapper.
    """

    records: list[Record] = field(default_factory=list)
    items: "Shape | None" = None
    positions: list["Shape"] = field(default_factory=list)
    is_json: bool = False
    is_set: bool = False
    is_serialized: bool = False
    parts: list["Shape"] = field(default_factory=list)

    def record_for(self, *documents: Any) -> Record | None:
        """Return the record of a union that fits the documents best; the first of equals."""
        if len(self.records) < 2:
            return self.records[0] if self.records else None
        merged = {name: part for item in documents if isinstance(item, Mapping) for name, part in item.items()}
        return max(self.records, key=lambda record: record.fit(merged))

    def at(self, step: int | str) -> "Shape":
        """Return the shape of an item, or of a mapping's value."""
        if isinstance(step, int) and 0 <= step < len(self.positions):
            return self.positions[step]
        return self.items or ANY


ANY = Shape()


class ShapeBuilder:
    """Builds the shape of a model from its core schema.

    Attributes:
        root: shape of the model.
        records: all records of the model.
        has_json: True if a field holds JSON inside a text.
    """

    def __init__(self, schema: Node) -> None:
        self.records: list[Record] = []
        self.has_json = False
        self._definitions: dict[str, Node] = {}
        self._by_ref: dict[str, Shape] = {}
        self._shapes: list[Shape] = []
        self.root = self._shape_of(schema)
        for shape in self._shapes:
            _join_parts(shape)

    def _shape_of(self, node: Node, extra: str = "ignore") -> Shape:
        """Return the shape of a node.

        Args:
            extra: rule for extra values of the model around the node.
        """
        kind = node["type"]
        if kind == "definitions":
            self._definitions |= {item["ref"]: item for item in node["definitions"]}
            return self._shape_of(node["schema"])
        if kind == "definition-ref":
            return self._shape_of(self._definitions[node["schema_ref"]])
        reference = node.get("ref")
        if reference in self._by_ref:
            return self._by_ref[reference]
        shape = Shape(is_set=kind in ("set", "frozenset"), is_serialized=has_user_serializer(node))
        self._shapes.append(shape)
        if reference is not None:
            self._by_ref[reference] = shape  # a recursive record refers to its shape before it is complete
        self._fill(shape, node, extra)
        return shape

    def _fill(self, shape: Shape, node: Node, extra: str) -> None:
        kind = node["type"]
        if kind in _RECORD_TYPES:
            shape.records.append(self._record_of(node, extra))
        elif kind in _LIST_TYPES:
            shape.items = self._shape_of(node["items_schema"]) if "items_schema" in node else None
        elif kind == "tuple":
            shape.positions = [self._shape_of(item) for item in node["items_schema"]]
            variadic = node.get("variadic_item_index")
            if variadic is not None:
                shape.items, shape.positions = shape.positions[variadic], shape.positions[:variadic]
        elif kind == "dict":
            shape.items = self._shape_of(node["values_schema"]) if "values_schema" in node else None
        elif kind == "json":
            shape.is_json = self.has_json = True
        else:
            if kind in ("model", "dataclass"):
                extra = (node.get("config") or {}).get("extra_fields_behavior", "ignore")
            shape.parts = [self._shape_of(part, extra) for part in _alternatives(node)]

    def _record_of(self, node: Node, extra: str) -> Record:
        rule = node.get("extra_behavior") or (node.get("config") or {}).get("extra_fields_behavior") or extra
        record = Record(label_of(node), extra=str(rule))
        self.records.append(record)
        for item in node.get("computed_fields", ()):
            record.computed.add(item.get("alias") or item["property_name"])
        fields = node["fields"]
        pairs = fields.items() if isinstance(fields, Mapping) else [(item["name"], item) for item in fields]
        for name, item in pairs:
            if item["type"] in FIELD_TYPES:
                shown_name = item.get("serialization_alias") or name
                shape, constants = self._shape_of(item["schema"]), _constants(item["schema"])
                record.fields.append(FieldName(name, shown_name, _sources(name, item), shape, constants))
        return record


def label_of(node: Node) -> str:
    """Return the name of a record's class."""
    return str(node.get("model_name") or node.get("dataclass_name") or getattr(node.get("cls"), "__name__", ""))


def value_at(document: Any, path: Path) -> Any:
    """Return the part of a document at a path; `ABSENT` if the document has no such part."""
    for step in path:
        is_member = isinstance(document, Mapping) and step in document
        is_item = isinstance(document, list) and isinstance(step, int) and -len(document) <= step < len(document)
        if not (is_member or is_item):
            return ABSENT
        document = document[step]
    return document


def _join_parts(shape: Shape) -> None:
    """Give a shape the records and items of its parts, and of their parts."""
    queue, visited = list(shape.parts), {id(shape)}
    while queue:
        part = queue.pop(0)
        if id(part) in visited:
            continue
        visited.add(id(part))
        shape.records += [record for record in part.records if record not in shape.records]
        shape.items = shape.items or part.items
        shape.positions = shape.positions or part.positions
        shape.is_json = shape.is_json or part.is_json
        shape.is_set = shape.is_set or part.is_set
        shape.is_serialized = shape.is_serialized or part.is_serialized
        queue += part.parts


def _alternatives(node: Node) -> Iterator[Node]:
    """Yield the nodes that a wrapper, a union or a chain stands for."""
    for key in _WRAPPED_KEYS:
        if key in node:
            yield node[key]
            return
    choices = node.get("choices") or node.get("steps") or ()
    for choice in choices.values() if isinstance(choices, Mapping) else choices:
        part = choice[0] if isinstance(choice, tuple) else choice
        if isinstance(part, Mapping):
            yield dict(part)


def _sources(name: str, node: Node) -> list[Path]:
    alias = node.get("validation_alias")
    if alias is None:
        return [(name,)]
    if isinstance(alias, str):
        return [(alias,)]
    paths = alias if alias and isinstance(alias[0], list) else [alias]
    return [tuple(path) for path in paths]


def _constants(node: Node) -> tuple[Any, ...]:
    while node["type"] in ("default", "nullable"):
        node = node["schema"]
    return tuple(node["expected"]) if node["type"] == "literal" else ()
