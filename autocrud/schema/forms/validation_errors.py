"""Validation errors: Pydantic's errors as errors of the project, with the names of fields that clients know."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from autocrud.errors import FieldError, InvalidData, MalformedBody
from autocrud.schema.forms.name_map import NameMap

_MAX_BUILT = 1000


def error_items(error: ValidationError) -> Sequence[dict[str, Any]]:
    """Return Pydantic's errors. If there are very many, return a single error with their number.

    Pydantic builds all of them or none, at a kilobyte each.
    """
    count = error.error_count()
    if count > _MAX_BUILT:
        message = f"has {count} errors, which are too many to list"
        return [{"type": "too_many_errors", "loc": (), "msg": message}]
    return [dict(item) for item in error.errors(include_url=False, include_context=False, include_input=False)]


def invalid_data(model: str, error: ValidationError, names: NameMap | None = None) -> InvalidData:
    """Return the error of the project for an error of a model's validator.

    Args:
        model: name of the model.
        names: translates the names in the error; None if these are the client's own.
    """
    return InvalidData(
        f"The {model} is not valid.",
        (
            FieldError(
                ".".join(map(str, names.shown_path(item["loc"]) if names else item["loc"])) or "(body)", item["msg"]
            )
            for item in error_items(error)
        ),
    )


def raise_if_malformed(error: ValidationError) -> None:
    """Raise an error of its own if the body is not JSON.

    Raises:
        MalformedBody: the body is not JSON.
    """
    first = error_items(error)[0]
    if first["type"] == "json_invalid" and not first["loc"]:  # with a place, the text of a Json field is no JSON
        raise MalformedBody(f"The body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}.") from error
