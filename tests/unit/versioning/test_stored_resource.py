"""Resource: parsed views of a stored head."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from tests.unit.versioning.notes import notes, open_manager


async def test_resource_parses_data_and_metadata_on_access() -> None:
    """The head has JSON only."""
    resource = await (await open_manager(notes())).create({"text": "a"}, resource_id="n", by="ada")
    assert (resource.resource_id, resource.data.text, resource.data_json) == ("n", "a", b'{"text":"a"}')
    assert (resource.meta.created_by, resource.revision_info.revision_id) == ("ada", "n:1")


async def test_resource_with_data_of_a_former_model_raises_on_access_only() -> None:
    """The JSON and the metadata stay readable."""
    resource = await (await open_manager(notes())).create({}, resource_id="n")
    resource.head = replace(resource.head, data=b'{"text":1}')
    assert resource.data_json == b'{"text":1}'
    with pytest.raises(ValidationError):
        _ = resource.data


async def test_resource_of_a_pruned_state_has_no_data() -> None:
    """Access to missing data is an error, and not null."""
    resource = await (await open_manager(notes())).create({}, resource_id="n")
    resource.head = replace(resource.head, data=None)
    with pytest.raises(LookupError):
        _ = resource.data_json


async def test_tag_of_a_requested_revision_differs_from_the_tag_of_the_resource() -> None:
    """A precondition with the tag of a revision matches no write."""
    manager = await open_manager(notes())
    resource = await manager.create({}, resource_id="n")
    revision = await manager.get("n", revision_id="1")
    assert revision.tag == f"{resource.tag}.1"


async def test_repr_of_a_resource_is_one_short_line() -> None:
    """With the model, the id and the version, and without the data."""
    manager = await open_manager(notes())
    resource = await manager.create({"text": "long " * 100}, resource_id="n")
    assert repr(resource) == "<Resource note 'n', version 1>"
    assert repr(await manager.get("n", revision_id="1")) == "<Resource note 'n', version 1, revision 1>"
    assert repr(await manager.delete("n")) == "<Resource note 'n', version 2, deleted>"
