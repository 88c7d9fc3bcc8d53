"""Computed fields: refuses markers on them, because an index follows stored values."""

from typing import Any

from autocrud.errors import ConfigurationError
from autocrud.schema.type_inspection import fields_of, inspect_types


def refuse_marked_computed_fields(model: Any) -> None:
    """Refuse `Index()`, `Unique()` and `Ref()` on a computed field of a model, or of a record inside it.

    Raises:
        ConfigurationError: a computed field has a marker.
    """
    queue, visited = [model], list[Any]()
    while queue:
        record = queue.pop()
        if record in visited:
            continue
        visited.append(record)
        for name, annotation in _computed_types(record).items():
            parts = inspect_types([annotation])
            for marker in (*parts.markers, *inspect_types(parts.items).markers):
                raise ConfigurationError(
                    f"{record.__name__}.{name} is a computed field, which cannot have {type(marker).__name__}();"
                    " store the value in a field"
                )
        parts = inspect_types([info.annotation for info in fields_of(record).values()])
        queue += [*parts.records, *inspect_types(parts.items).records]


def _computed_types(record: Any) -> dict[str, Any]:
    """Return the type of each computed field of a Pydantic model or a Pydantic dataclass."""
    decorators = getattr(record, "__pydantic_decorators__", None)
    return (
        {} if decorators is None else {name: item.info.return_type for name, item in decorators.computed_fields.items()}
    )
