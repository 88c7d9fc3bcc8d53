"""Index values of stored data of any schema version."""

from typing import Annotated

import pytest
from pydantic import BaseModel

from autocrud import Index, Schema
from autocrud.migrations import convert, rename
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex


class Article(BaseModel):
    """A model in schema version 2."""

    headline: Annotated[str, Index()]
    words: Annotated[int, Index()] = 0


SPEC: ModelSpec[Article] = ModelSpec(
    Article, schema=Schema(2).step(1, 2, rename("title", "headline"), convert("words", int))
)


def test_values_of_older_data_are_those_of_the_upgraded_document() -> None:
    """Data of the model's version is not changed."""
    stored_index = StoredIndex(SPEC)
    assert stored_index.values("a", b'{"title":"x","words":"7"}', 1) == ("x", 7)
    assert stored_index.values("a", b'{"headline":"x","words":7}', 2, SPEC.index_fields[1:]) == (7,)
    assert stored_index.stored_values("a", b'{"title":"x","words":"7"}', 1) == ("x", 7)


def test_data_that_cannot_be_upgraded_has_null_in_all_columns(caplog: pytest.LogCaptureFixture) -> None:
    """One line of the log has the number, the first id, and the reason. Newer versions are noted."""
    stored_index = StoredIndex(SPEC)
    assert stored_index.values("bad", b'{"title":"x","words":"many"}', 1) == (None, None)
    assert stored_index.values("newer", b'{"name":"x"}', 3, SPEC.index_fields[:1]) == (None,)
    assert stored_index.stored_values("newer", b'{"name":"x"}', 3) == (None, None)
    assert stored_index.newer_versions == {3}
    for _ in range(2):
        stored_index.report()
    (line,) = caplog.messages
    assert "do not find 3 resources or revisions" in line
    assert "the first of them 'bad': step 1 to 2, convert words: ValueError" in line


def test_value_that_does_not_fit_its_column_names_the_field() -> None:
    """The upgrade succeeds, and the backfill reports the field."""
    stored_index = StoredIndex(SPEC)
    data = b'{"title":"%s","words":"1"}' % (b"x" * 2001)
    assert stored_index.stored_values("a", data, 1) == (None, 1)
    assert [field.name for field in stored_index.unfit_fields] == ["headline"]
