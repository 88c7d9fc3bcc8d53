"""Conformance of the commit order of a store."""

import asyncio

from autocrud.storage.ports.transactions import (
    START,
    StoreChange,
)
from autocrud.testing.conformance.store_models import (
    Models,
    StoreTests,
    link,
    summary,
)
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    purge_write,
    sample,
    update_write,
)


class ChangeTests(StoreTests):
    """The changes of a store are complete, in commit order, and can be resumed from every position."""

    async def test_11_changes_resume_from_every_position(self, models: Models) -> None:
        """Changes are complete and in commit order, in pages of every size, after a restart of the storages, too."""
        assert await models.changes() == []
        assert await models.store.last_position() == START
        first, second = create_write("a", sample()), link("l1", cascaded="a")
        await models.accept(first, second)
        await models.refuse(first)
        blob = await models.samples.blobs.put_bytes(b"bytes")
        updated = update_write(first, sample(text="new"))
        updated.blobs = (blob.file_id,)
        await models.accept(updated, delete_write(second))
        await models.samples.close()
        await models.samples.open()
        await models.accept(link("l2"))
        found = await models.changes()
        assert summary(found) == [
            ("a", 1, "create"), ("l1", 1, "create"), ("a", 2, "update"), ("l1", 2, "delete"), ("l2", 1, "create")
        ]  # fmt: skip
        assert [change.model for change in found] == ["sample", "link", "sample", "link", "link"]
        positions = [change.position for change in found]
        assert positions == sorted(set(positions))
        assert positions[-1] == await models.store.last_position()
        for number, position in enumerate(positions, 1):
            assert await models.store.changes(position) == found[number:]
            assert await models.changes(number) == found

    async def test_11_purge_removes_the_earlier_changes_of_its_resource(self, models: Models) -> None:
        """Positions of other changes stay, and the position of a removed change can still be resumed from."""
        first, other = create_write("a", sample()), create_write("b", sample())
        second = update_write(first, sample(text="new"))
        for write in (first, other, second):
            await models.accept(write)
        before = await models.changes()
        await models.accept(purge_write(second))
        await models.accept(create_write("a", sample()))
        found = await models.changes()
        assert summary(found) == [("b", 1, "create"), ("a", 3, "purge"), ("a", 1, "create")]
        assert found[0] == before[1]
        for change, count in zip(before, (3, 2, 2), strict=True):
            assert await models.store.changes(change.position) == found[3 - count :]

    async def test_11_concurrent_writes_of_two_models_have_one_order(self, models: Models) -> None:
        """A follower that polls meanwhile sees the sequence that a later reader sees."""
        followed, position = list[StoreChange](), START

        async def write_chain(number: int) -> None:
            write = create_write(f"a{number}", sample(number=number))
            await models.accept(write, link(f"l{number}", cascaded=f"a{number}"))
            for version in range(5):
                write = update_write(write, sample(number=version))
                await models.samples.commit(write)

        writers = asyncio.gather(*(write_chain(number) for number in range(12)))
        while not writers.done() or await models.store.last_position() > position:
            page = await models.store.changes(position, 7)
            followed += page
            position = page[-1].position if page else position
            await asyncio.sleep(0)
        await writers
        assert followed == await models.changes()
        versions: dict[str, list[int]] = {}
        for change in followed:
            versions.setdefault(change.resource_id, []).append(change.version)
        assert versions == {f"a{number}": [1, 2, 3, 4, 5, 6] for number in range(12)} | {
            f"l{number}": [1] for number in range(12)
        }
