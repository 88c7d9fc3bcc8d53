"""Masking: a resource without hidden fields, and without what tells their values."""

from dataclasses import replace

import pytest
from pydantic_core import from_json

from autocrud.errors import Unreadable
from autocrud.guard.masking import masked_head
from autocrud.storage.ports.types import Head, PartialHead
from autocrud.testing.sample_writes import SAMPLE, create_write, sample
from autocrud.versioning.write_builder import apply_to


@pytest.fixture
def head() -> Head:
    """Return a resource with a text and a code."""
    return apply_to(SAMPLE, create_write("a", sample(text="shown", code="hidden")), None).head


def test_masked_head_lacks_the_field_and_the_hash(head: Head) -> None:
    masked = masked_head(head, [("code",)])
    assert isinstance(masked, PartialHead)
    document = from_json(head.data or b"")
    assert document.pop("code") == "hidden"
    assert from_json(masked.data or b"") == document
    info, before = from_json(masked.revision_info), from_json(head.revision_info)
    assert (info["data_hash"], info["size"]) == ("", 0)
    assert {**info, "data_hash": 0, "size": 0} == {**before, "data_hash": 0, "size": 0}


def test_fault_of_a_masked_head_quotes_no_value(head: Head) -> None:
    """A step or a validator may quote the value that it refuses."""
    fault = Unreadable("sample", "a:1", "step 1 to 2", "code", "ValueError: 'hidden' is bad")
    masked = masked_head(replace(head, stored=head.data, fault=fault), [("code",)])
    assert "hidden" not in str(masked.fault)
    assert masked.stored is None


def test_head_without_hidden_fields_stays(head: Head) -> None:
    assert masked_head(head, []) is head
