"""Metadata fields: the same for every model."""

from autocrud.query.metadata_fields import META_FIELDS
from autocrud.resource import ResourceMeta


def test_metadata_fields_are_the_metadata() -> None:
    """Each member of the metadata can be queried, under its own name and column."""
    assert {field.name for field in META_FIELDS} == set(ResourceMeta.model_fields)
    assert all(field.is_meta and field.column == field.name for field in META_FIELDS)


def test_metadata_fields_are_null_only_for_unknown_authors() -> None:
    """A write without a user has no author."""
    assert {field.name for field in META_FIELDS if field.nullable} == {"created_by", "updated_by"}
