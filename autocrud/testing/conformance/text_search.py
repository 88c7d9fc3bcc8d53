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
from autocrud.query.resolver import Resolver, combine, rank_order
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import Write
from autocrud.storage.row_view import row_of
from autocrud.testing.conformance.base import StorageTests
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    purge_write,
    restore_write,
    switch_write,
    update_write,
)
from autocrud.testing.text_corpus import ARTICLES, QUESTIONS, STORED, UNANSWERABLE, article, random_article, random_text

_FIELDS = Resolver(ARTICLES)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_RANDOM_QUESTIONS = 100


def text_query(
    text: str, *conditions: Condition, sort: str | None = None, limit: int = 1000, deleted: bool = False
) -> Query:
    """Return the resolved condition of a text query and further conditions."""
    found = _FIELDS.text(text)
    where: Condition | None = found
    for condition in conditions:
        where = combine(where, _FIELDS.condition(condition))
    return Query(where, rank_order(found) if sort is None else _FIELDS.sort(sort), deleted, limit)


async def answers(storage: IStorage, query: Query) -> list[str]:
    """Return the ids that a query selects, over all pages, by their cursors."""
    found = list[str]()
    while True:
        page = await storage.search(query)
        found += [head.resource_id for head in page.items]
        if page.next is None:
            return found
        query = replace(query, after=decode_cursor(query, encode_cursor(query, page.next)))


class TextSearchTests(StorageTests):
    """Tests of the resources that a text query finds, and of their order."""

    async def test_text_query_finds_words_phrases_and_prefixes(self, factory: IStorageFactory) -> None:
        """Include exclusions and any script. No input is a syntax error of the engine."""
        storage = factory.build(ARTICLES)
        await storage.open()
        await storage.commit_all([_created(name, **fields) for name, fields in STORED.items()])
        for text, expected in QUESTIONS.items():
            assert set(await answers(storage, text_query(text))) == expected, text
            assert await storage.count(text_query(text)) == len(expected), text
        for text in UNANSWERABLE:
            with pytest.raises(InvalidParameter):
                text_query(text)
        await storage.close()

    async def test_text_query_follows_every_commit(self, factory: IStorageFactory) -> None:
        """Update, delete, restore, switch and purge. Combine with filters, orders and expressions."""
        storage = factory.build(ARTICLES)
        await storage.open()
        first, other = _created("a", title="old fox", number=1), _created("b", 1, body="a fox", notes=["x"], number=2)
        second = update_write(first, article(title="new hen", number=3), spec=ARTICLES)
        restoration = switch_write(second, first, spec=ARTICLES)
        deletion = delete_write(restoration)
        for write in (first, other, second):
            await storage.commit(write)
        assert await answers(storage, text_query("fox")) == ["b"]
        assert await answers(storage, text_query("hen")) == await answers(storage, text_query("new")) == ["a"]
        await storage.commit(restoration)
        assert await answers(storage, text_query("hen")) == []
        assert await answers(storage, text_query("fox", sort="number")) == ["a", "b"]
        assert await answers(storage, text_query("fox", sort="-number", limit=1)) == ["b", "a"]
        assert await answers(storage, text_query("fox", QB["number"].gt(1))) == ["b"]
        assert await answers(storage, text_query("fox", ~QB["title"].contains("old"))) == ["b"]
        for sort in (None, "created_time", "-number"):
            assert await answers(storage, text_query("fox", QB["notes"].contains("x"), sort=sort)) == ["b"]
            assert await answers(storage, text_query("old", QB["notes"].contains("x"), sort=sort)) == []
        await storage.commit(deletion)
        assert await answers(storage, text_query("fox")) == ["b"]
        assert set(await answers(storage, text_query("fox", deleted=True))) == {"a", "b"}
        assert await storage.count(text_query("fox", deleted=True)) == 2
        assert await answers(storage, Query(Not(_FIELDS.text("fox")))) == []
        restored = restore_write(deletion)
        await storage.commit(restored)
        assert set(await answers(storage, text_query("fox"))) == {"a", "b"}
        await storage.commit(purge_write(restored))
        assert await answers(storage, text_query("fox", deleted=True)) == ["b"]
        await storage.commit(_created("a", title="hen"))
        assert await answers(storage, text_query("hen")) == ["a"]
        assert await answers(storage, Query(Not(_FIELDS.text("fox")))) == ["a"]
        await storage.close()

    async def test_better_matches_come_first(self, factory: IStorageFactory) -> None:
        """More often, in less text, all words together. The newest wins a tie."""
        storage = factory.build(ARTICLES)
        await storage.open()
        texts = ["the fox is in a long text about hens and many other animals of the farm"] * 2
        texts += [texts[0].replace("hens", "the fox, who is a fox,"), "a fox", "fox", "no one"]
        await storage.commit_all([_created(str(number), number, body=text) for number, text in enumerate(texts)])
        assert await answers(storage, text_query("fox", limit=2)) == ["2", "4", "3", "1", "0"]
        texts = ["new is the city of york", "york is a city, a new one", "the city of new york", "no new york-shire"]
        await storage.commit_all([_created(f"y{number}", number, body=text) for number, text in enumerate(texts)])
        assert await answers(storage, text_query("new york", limit=1)) == ["y3", "y2", "y0", "y1"]
        await storage.close()

    async def test_7_random_text_query_equals_its_meaning_in_python(self, factory: IStorageFactory) -> None:
        """Use random articles and queries, ranked or in another order, by pages of any size."""
        storage = factory.build(ARTICLES)
        await storage.open()
        chance = Random(3)
        rows = await _fill(storage, chance)
        for _ in range(_RANDOM_QUESTIONS):
            text, limit = random_text(chance), chance.choice([1, 3, 7, 100])
            sort = chance.choice([None, None, "title", "-number,title"])
            try:
                query = text_query(text, sort=sort, limit=limit)
            except InvalidParameter:
                continue
            expected = _in_order(rows, query.where, query.order)
            assert await answers(storage, query) == expected, text
            assert await storage.count(query) == len(expected), text
        await storage.close()

    async def test_ranked_pages_stay_stable_while_others_write(self, factory: IStorageFactory) -> None:
        """Each earlier match is seen once, in order, although new matches are written."""
        storage = factory.build(ARTICLES)
        await storage.open()
        for number in range(12):
            await storage.commit(_created(f"old-{number:02}", number, body="fox " + "hen " * (number % 4)))
        query = text_query("fox", limit=2)
        expected = await answers(storage, query)
        first = (await storage.search(query)).next
        assert first is not None
        with pytest.raises(InvalidParameter):
            decode_cursor(text_query("hen"), encode_cursor(query, first))
        seen_ids, step = list[str](), 0
        while True:
            page = await storage.search(query)
            seen_ids += [head.resource_id for head in page.items]
            await storage.commit(_created(f"new-{step:02}", step, body="fox fox hen " + "pig " * step))
            step += 1
            if page.next is None:
                break
            query = replace(query, after=page.next)
        assert [name for name in seen_ids if name.startswith("old")] == expected
        assert len(seen_ids) == len(set(seen_ids))
        await storage.close()


def _created(resource_id: str, tick: int = 0, **fields: object) -> Write:
    return create_write(resource_id, article(**fields), time=_START + timedelta(seconds=tick), spec=ARTICLES)


async def _fill(storage: IStorage, chance: Random) -> dict[str, Row]:
    """Store sixty random articles, some of them updated. Return their rows for the oracle."""
    writes = {f"r{number:02}": _created(f"r{number:02}", number // 4, **random_article(chance)) for number in range(60)}
    await storage.commit_all(list(writes.values()))
    for name in chance.sample(sorted(writes), 20):
        writes[name] = update_write(writes[name], article(**random_article(chance)), spec=ARTICLES)
    await storage.commit_all([write for write in writes.values() if write.follows])
    return {name: row_of(ARTICLES, write.meta_json, write.index) for name, write in writes.items()}


def _in_order(rows: dict[str, Row], where: Condition | None, order: Sequence[Sort]) -> list[str]:
    chosen = [name for name, row in rows.items() if holds(where, row)]
    return sorted(chosen, key=lambda name: sort_key(tuple(order), rows[name]))
