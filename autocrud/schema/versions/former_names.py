"""Names of a field in older schema versions."""

from autocrud.schema.versions.schema import Schema
from autocrud.schema.versions.steps import Rename


def former_names(schema: Schema, name: str) -> tuple[str, ...]:
    """Return the names that a field had in older versions, as far as ready-made steps rename it.

    Args:
        name: name of the field in the newest version, with dots between the names of nested fields.
    """
    found: dict[str, None] = {}
    for steps in schema.paths(name).values():
        path = tuple(name.split("."))
        for function in (function for step in reversed(steps) for function in reversed(step.functions)):
            if isinstance(function, Rename):
                renamed = (*function.path[:-1], function.name)
                if path[: len(renamed)] == renamed:
                    path = (*function.path, *path[len(renamed) :])
                    found[".".join(path)] = None
    return tuple(found)
