"""Markers: defaults, and the form in which models use them."""

import dataclasses

import pytest

import autocrud
from autocrud.errors import ConfigurationError
from autocrud.schema import markers
from autocrud.schema.markers import Index, OnDelete, Ref, Unique


def test_markers_are_exported_by_the_package() -> None:
    """Users import the markers from `autocrud`."""
    for name in ("Index", "Unique", "Ref", "OnDelete"):
        assert getattr(autocrud, name) is getattr(markers, name)


def test_markers_defaults_filter_and_restrict() -> None:
    """A marker without arguments makes a field filterable; a reference must exist and restricts deletes."""
    assert (Index().filters, Index().text) == (True, False)
    assert Unique().group is None
    ref = Ref("person")
    assert (ref.model, ref.on_delete, ref.must_exist, ref.expand) == ("person", OnDelete.restrict, True, False)
    assert isinstance(ref, Index)
    assert isinstance(Unique(), Index)


def test_markers_with_equal_arguments_are_equal_and_immutable() -> None:
    """Markers are values."""
    assert Unique(group="a") == Unique(group="a") != Unique(group="b")
    assert len({Ref("person"), Ref("person"), Ref("person", expand=True)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Index().text = True  # type: ignore[misc]


def test_index_positional_argument_is_refused() -> None:
    """`Index(True)` does not tell text from filters."""
    with pytest.raises(TypeError, match="positional"):
        Index(True)  # type: ignore[call-arg]


def test_ref_with_the_name_of_an_action_has_the_action() -> None:
    """The actions are compared by identity, so that a plain text would have no effect."""
    assert Ref("person", on_delete="set_null").on_delete is OnDelete.set_null  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"on_delete='nullify'.*restrict, set_null, cascade, dangling"):
        Ref("person", on_delete="nullify")  # type: ignore[arg-type]
