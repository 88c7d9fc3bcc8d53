"""Helper to test the steps of a schema, without a store."""

from typing import Any

from pydantic_core import from_json

from autocrud.errors import Unreadable
from autocrud.schema.exact_numbers import dump_json
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.schema import Schema
from autocrud.schema.versions.upgrade import UpgradeError


def upgrade_document(model: type[Any], schema: Schema, document: Any, *, version: int = 1) -> Any:
    """Return a stored document in the newest version of its model, as a read of the resource would find it.

    Args:
        document: the document in the stored form of the old version: names of fields, and JSON values.
        version: schema version that the document was stored with.

    Raises:
        ConfigurationError: the schema is not valid, or the model cannot be stored.
        Unreadable: a step fails, or the model does not accept the result.
    """
    spec: ModelSpec[Any] = ModelSpec(model, schema=schema)
    try:
        return from_json(spec.upgrader.upgrade(dump_json(document), version))
    except UpgradeError as error:
        raise Unreadable(spec.name, "document", error.step, error.field, str(error)) from error
