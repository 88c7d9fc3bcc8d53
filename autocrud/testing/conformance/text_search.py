"""Conformance of text search."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from autocrud.errors import InvalidParameter
from autocrud.query.builder import QB
from autocrud.query.conditions import Condition, Not, Query, Sort
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.query.evaluate import Row, holds, sort_key
from autocrud.query.resolver import Resolver, both, ranked
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import Write
from autocrud.storage.row_view import row_of
from autocrud.testing.conformance.base import StorageTests
from autocrud.testing.sample_writes import create_write, delete_write, purge, restore_write, switch_write, update_write
from autocrud.testing.text_corpus import ARTICLES, QUESTIONS, STORED, UNANSWERABLE, article, random_article, random_text

_FIELDS = Resolver(ARTICLES)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_RANDOM_QUESTIONS = 100


def question(text: str, *asked: Condition, sort: str | None = None, limit: int = 1000, deleted: bool = False) -> Query:
    """What a storage is asked for a text, and where these conditions hold."""
    found = _FIELDS.text(text)
    where: Condition | None = found
    for condition in asked:
        where = both(where, _FIELDS.condition(condition))
    return Query(where, ranked(found) if sort is None else _FIELDS.sort(sort), deleted, limit)


async def answers(storage: IStorage, query: Query) -> list[str]:
    """The ids that a query selects, over all pages, by their cursors."""
    found = list[str]()
    while True:
        page = await storage.search(query)
        found += [head.resource_id for head in page.items]
        if page.next is None:
            return found
        query = replace(query, after=decode_cursor(query, encode_cursor(query, page.next)))


class TextTests(StorageTests):
    """Tests of what a text finds, and in which order."""

    async def test_texts_are_found_by_what_people_type(self, factory: IStorageFactory) -> None:
        """Words, phrases, beginnings and what is left out, in any script; nothing typed is a syntax of the engine's."""
        storage = factory.build(ARTICLES)
        await storage.open()
        await storage.commit_all([_created(name, **fields) for name, fields in STORED.items()])
        for text, expected in QUESTIONS.items():
            assert set(await answers(storage, question(text))) == expected, text
            assert await storage.count(question(text)) == len(expected), text
        for text in UNANSWERABLE:
            with pytest.raises(InvalidParameter):
                question(text)
        await storage.close()

    async def test_a_text_finds_what_is_there_now(self, factory: IStorageFactory) -> None:
        """After updates, deletes, restores, switches and purges; together with filters, orders and expressions."""
        storage = factory.build(ARTICLES)
        await storage.open()
        first, other = _created("a", title="old fox", number=1), _created("b", 1, body="a fox", notes=["x"], number=2)
        second = update_write(first, article(title="new hen", number=3), spec=ARTICLES)
        back = switch_write(second, first, spec=ARTICLES)
        gone = delete_write(back)
        for write in (first, other, second):
            await storage.commit(write)
        assert await answers(storage, question("fox")) == ["b"]
        assert await answers(storage, question("hen")) == await answers(storage, question("new")) == ["a"]
        await storage.commit(back)
        assert await answers(storage, question("hen")) == []
        assert await answers(storage, question("fox", sort="number")) == ["a", "b"]
        assert await answers(storage, question("fox", sort="-number", limit=1)) == ["b", "a"]
        assert await answers(storage, question("fox", QB["number"].gt(1))) == ["b"]
        assert await answers(storage, question("fox", ~QB["title"].contains("old"))) == ["b"]
        for sort in (None, "created_time", "-number"):
            assert await answers(storage, question("fox", QB["notes"].contains("x"), sort=sort)) == ["b"]
            assert await answers(storage, question("old", QB["notes"].contains("x"), sort=sort)) == []
        await storage.commit(gone)
        assert await answers(storage, question("fox")) == ["b"]
        assert set(await answers(storage, question("fox", deleted=True))) == {"a", "b"}
        assert await storage.count(question("fox", deleted=True)) == 2
        assert await answers(storage, Query(Not(_FIELDS.text("fox")))) == []
        restored = restore_write(gone)
        await storage.commit(restored)
        assert set(await answers(storage, question("fox"))) == {"a", "b"}
        await storage.commit(purge(restored))
        assert await answers(storage, question("fox", deleted=True)) == ["b"]
        await storage.commit(_created("a", title="hen"))
        assert await answers(storage, question("hen")) == ["a"]
        assert await answers(storage, Query(Not(_FIELDS.text("fox")))) == ["a"]
        await storage.close()

    async def test_better_answers_come_first(self, factory: IStorageFactory) -> None:
        """More often, in less text, all together; where they are equally good, the newest."""
        storage = factory.build(ARTICLES)
        await storage.open()
        texts = ["the fox is in a long text about hens and many other animals of the farm"] * 2
        texts += [texts[0].replace("hens", "the fox, who is a fox,"), "a fox", "fox", "no one"]
        await storage.commit_all([_created(str(number), number, body=text) for number, text in enumerate(texts)])
        assert await answers(storage, question("fox", limit=2)) == ["2", "4", "3", "1", "0"]
        texts = ["new is the city of york", "york is a city, a new one", "the city of new york", "no new york-shire"]
        await storage.commit_all([_created(f"y{number}", number, body=text) for number, text in enumerate(texts)])
        assert await answers(storage, question("new york", limit=1)) == ["y3", "y2", "y0", "y1"]
        await storage.close()

    async def test_7_any_text_means_what_it_means_in_python(self, factory: IStorageFactory) -> None:
        """Random articles and questions, ranked or in another order, by pages of any size."""
        storage = factory.build(ARTICLES)
        await storage.open()
        chance = Random(3)
        rows = await _filled(storage, chance)
        for _ in range(_RANDOM_QUESTIONS):
            text, limit = random_text(chance), chance.choice([1, 3, 7, 100])
            sort = chance.choice([None, None, "title", "-number,title"])
            try:
                query = question(text, sort=sort, limit=limit)
            except InvalidParameter:
                continue
            expected = _in_order(rows, query.where, query.order)
            assert await answers(storage, query) == expected, text
            assert await storage.count(query) == len(expected), text
        await storage.close()

    async def test_a_ranked_walk_is_stable_while_others_write(self, factory: IStorageFactory) -> None:
        """What was there is seen once, in order, though what comes between has the same words."""
        storage = factory.build(ARTICLES)
        await storage.open()
        for number in range(12):
            await storage.commit(_created(f"old-{number:02}", number, body="fox " + "hen " * (number % 4)))
        query = question("fox", limit=2)
        expected = await answers(storage, query)
        first = (await storage.search(query)).next
        assert first is not None
        with pytest.raises(InvalidParameter):
            decode_cursor(question("hen"), encode_cursor(query, first))
        seen, step = list[str](), 0
        while True:
            page = await storage.search(query)
            seen += [head.resource_id for head in page.items]
            await storage.commit(_created(f"new-{step:02}", step, body="fox fox hen " + "pig " * step))
            step += 1
            if page.next is None:
                break
            query = replace(query, after=page.next)
        assert [name for name in seen if name.startswith("old")] == expected
        assert len(seen) == len(set(seen))
        await storage.close()


def _created(resource_id: str, tick: int = 0, **fields: object) -> Write:
    return create_write(resource_id, article(**fields), time=_START + timedelta(seconds=tick), spec=ARTICLES)


async def _filled(storage: IStorage, chance: Random) -> dict[str, Row]:
    """Sixty random articles, some of them rewritten; their rows as Python sees them."""
    writes = {f"r{number:02}": _created(f"r{number:02}", number // 4, **random_article(chance)) for number in range(60)}
    await storage.commit_all(list(writes.values()))
    for name in chance.sample(sorted(writes), 20):
        writes[name] = update_write(writes[name], article(**random_article(chance)), spec=ARTICLES)
    await storage.commit_all([write for write in writes.values() if write.follows])
    return {name: row_of(ARTICLES, write.meta_json, write.index) for name, write in writes.items()}


def _in_order(rows: dict[str, Row], where: Condition | None, order: Sequence[Sort]) -> list[str]:
    chosen = [name for name, row in rows.items() if holds(where, row)]
    return sorted(chosen, key=lambda name: sort_key(tuple(order), rows[name]))
