"""Partial schemas: variants of components whose members are all optional."""

from typing import Any

from autocrud.routes.openapi.components import Components
from autocrud.routes.openapi.partial_schemas import component_of, ref_to


def components(**schemas: Any) -> Components:
    """Return the components of a document with these schemas."""
    return Components({"components": {"schemas": schemas}})


ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def test_merge_patch_of_an_object_has_optional_members_without_defaults() -> None:
    """A default in a patch would change a member that the patch does not name."""
    parts = components(
        Movie={
            "type": "object",
            "title": "Movie",
            "properties": {
                "title": {"type": "string", "title": "Title", "minLength": 1},
                "year": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
                "oscars": {"type": "integer", "default": 0, "minimum": 0},
            },
            "required": ["title"],
            "additionalProperties": False,
        }
    )
    assert parts.merge_patches.build(ref_to("Movie")) == ref_to("MoviePatch")
    assert parts.schemas["MoviePatch"] == {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1},
            "year": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "oscars": {"type": "integer", "minimum": 0},
        },
        "additionalProperties": False,
    }
    assert parts.schemas["Movie"]["required"] == ["title"]


def test_merge_patch_of_a_nested_object_is_partial_and_of_an_array_is_complete() -> None:
    """A merge patch merges objects and replaces arrays (RFC 7396)."""
    parts = components(
        Address=ADDRESS,
        Person={
            "type": "object",
            "properties": {"home": ref_to("Address"), "others": {"type": "array", "items": ref_to("Address")}},
        },
    )
    parts.merge_patches.build(ref_to("Person"))
    properties = parts.schemas["PersonPatch"]["properties"]
    assert properties == {"home": ref_to("AddressPatch"), "others": {"type": "array", "items": ref_to("Address")}}
    assert "required" not in parts.schemas["AddressPatch"]


def test_merge_patch_of_a_recursive_model_ends() -> None:
    """A model may refer to itself."""
    parts = components(Node={"type": "object", "properties": {"next": {"anyOf": [ref_to("Node"), {"type": "null"}]}}})
    parts.merge_patches.build(ref_to("Node"))
    assert parts.schemas["NodePatch"]["properties"]["next"]["anyOf"] == [ref_to("NodePatch"), {"type": "null"}]


def test_merge_patch_of_a_union_has_no_discriminator() -> None:
    """The member that tells the alternatives apart may be absent in a patch."""
    cat = {"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]}
    parts = components(
        Cat=cat,
        Dog={**cat, "properties": {"kind": {"const": "dog"}}},
        Pet={"oneOf": [ref_to("Cat"), ref_to("Dog")], "discriminator": {"propertyName": "kind", "mapping": {}}},
    )
    parts.merge_patches.build(ref_to("Pet"))
    assert parts.schemas["PetPatch"] == {"anyOf": [ref_to("CatPatch"), ref_to("DogPatch")]}


def test_merge_patch_of_a_mapping_allows_null_to_remove_a_member() -> None:
    """Null removes a member of a mapping, so that its values are nullable in the patch only."""
    parts = components(Scores={"type": "object", "additionalProperties": {"type": "integer"}})
    parts.merge_patches.build(ref_to("Scores"))
    parts.cut_answers.build(ref_to("Scores"))
    assert parts.schemas["ScoresPatch"]["additionalProperties"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert parts.schemas["PartialScores"]["additionalProperties"] == {"type": "integer"}


def test_merge_patch_of_enums_and_scalars_refers_to_the_same_component() -> None:
    """A scalar has no members to leave out."""
    parts = components(
        Rating={"type": "string", "enum": ["G", "PG"]},
        Movie={"type": "object", "properties": {"rating": ref_to("Rating")}},
    )
    parts.merge_patches.build(ref_to("Movie"))
    assert parts.schemas["MoviePatch"]["properties"]["rating"] == ref_to("Rating")
    assert "RatingPatch" not in parts.schemas


def test_partial_variant_takes_no_name_of_another_component() -> None:
    """A user's model may be called like the variant of another one."""
    parts = components(
        **{"Movie-Input": {"type": "object", "properties": {}}, "MoviePatch": {"type": "string", "title": "MoviePatch"}}
    )
    reference = parts.merge_patches.build(ref_to("Movie-Input"))
    assert component_of(reference) == "MoviePatch_"
    assert parts.schemas["MoviePatch"]["type"] == "string"


def test_inline_schema_of_a_typed_dict_becomes_partial_in_place() -> None:
    """Not every body refers to a component."""
    assert components().merge_patches.build(ADDRESS) == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
    }


def test_definitions_with_one_name_and_different_values_get_the_label_of_the_model() -> None:
    """Two modules may each define an enum of one name."""
    parts = components(Status={"type": "string", "enum": ["a"]})
    assert parts.add_definitions({"Status": {"type": "string", "enum": ["a"], "description": "x"}}, "Movie") == {
        "Status": "Status"
    }
    assert parts.add_definitions({"Status": {"type": "string", "enum": ["b"]}}, "Movie") == {"Status": "MovieStatus"}
    assert parts.schemas["MovieStatus"]["enum"] == ["b"]
