"""Suggested step: the line of code that fits the changes of a model."""

from collections.abc import Iterator, Sequence

from autocrud.schema.versions.fingerprint import ITEM, VALUE, FieldForm, Path
from autocrud.schema.versions.fingerprint_changes import ChangeKind, FieldChange
from autocrud.schema.versions.schema import Schema

_SAMPLES = {"string": '""', "integer": "0", "number": "0.0", "boolean": "False", "array": "[]", "object": "{}"}
_FUNCTIONS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_OWN_FUNCTION = "your_function"


def suggested_code(type_name: str, schema: Schema, changes: Sequence[FieldChange]) -> str:
    """Return the call of `add_model` with a new version and a step for these changes."""
    functions = ", ".join(dict.fromkeys(_functions([change for change in changes if change.is_noticed])))
    functions = functions or _OWN_FUNCTION  # the fingerprints do not show what stored data lacks
    version = schema.version
    steps = "".join(f".step({step.old}, {step.new}, …)" for step in schema.steps)
    oldest = f", oldest={schema.oldest}" if schema.oldest > 1 else ""
    step = f".step({version}, {version + 1}, {functions})"
    return f"add_model({type_name}, schema=Schema({version + 1}{oldest}){steps}{step})"


def _functions(changes: Sequence[FieldChange]) -> Iterator[str]:
    """Yield the functions of the step as code. A removed and an added field of the same kinds are a renamed field."""
    added = [change for change in changes if change.kind is ChangeKind.added]
    for change in changes:
        if change.kind is ChangeKind.removed:
            successor = next((item for item in added if _is_renamed(change, item)), None)
            if not _has_name(change.path):
                yield _OWN_FUNCTION
            elif successor is None:
                yield f"remove({_path_code(change.path)})"
            else:
                added.remove(successor)
                yield f'rename({_path_code(change.path)}, "{successor.path[-1]}")'
    for change in changes:
        if change.kind is ChangeKind.removed or (change.kind is ChangeKind.added and change not in added):
            continue
        yield _function(change)


def _function(change: FieldChange) -> str:
    """Return the function for an added, a newly required or a converted field."""
    if not _has_name(change.path):
        return _OWN_FUNCTION
    path = _path_code(change.path)
    if change.kind is not ChangeKind.type:
        return f"fill({path}, {_sample(change.new)})"
    if all(kind["type"] == "null" for kind in change.lost_kinds):
        return f"fill({path}, {_sample(change.new)}, nulls=True)"
    types = {kind["type"] for kind in change.new.kinds if len(kind) == 1} if change.new else set[str]()
    function = next((_FUNCTIONS[name] for name in _FUNCTIONS if types - {"null"} == {name}), _OWN_FUNCTION)
    return f"convert({path}, {function})"


def _is_renamed(removed: FieldChange, added: FieldChange) -> bool:
    if removed.path[:-1] != added.path[:-1] or removed.old is None or added.new is None:
        return False
    return [*removed.old.kinds] == [*added.new.kinds]


def _has_name(path: Path) -> bool:
    """Return True if a ready-made step can name the field."""
    return bool(path) and path[-1] != ITEM and VALUE not in path


def _path_code(path: Path) -> str:
    names = [name for name in path if name != ITEM]  # a step goes through all items of a list
    return str(tuple(names)) if any("." in name for name in names) else f'"{".".join(names)}"'


def _sample(form: FieldForm | None) -> str:
    for kind in form.kinds if form else ():
        if kind["type"] == "value":
            return repr(kind["value"])
        if kind["type"] in _SAMPLES:
            return '"…"' if "format" in kind else _SAMPLES[kind["type"]]
    return "None"
