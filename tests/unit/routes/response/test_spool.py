"""Spooled buffer: bytes arrive in order and in bounded memory, whichever side is faster."""

import asyncio

from autocrud.routes.response.spool import SpoolBudget, SpooledBuffer


async def test_spooled_buffer_beyond_memory_returns_bytes_in_order() -> None:
    """Bytes go through memory, the file, and memory again, in pieces of different sizes."""
    spool = SpooledBuffer(in_memory=100, in_file=10_000)
    for rounds in (1, 5, 200, 2):
        expected = found = b""
        for number in range(rounds):
            data = b"%d," % number * (number % 7 + 1)
            expected += data
            await spool.put(data)
        while len(found) < len(expected):
            found += await spool.get()
        assert found == expected
    await spool.end()
    assert await spool.get() == b""
    await spool.close()


async def test_put_into_full_buffer_waits_for_get() -> None:
    """A producer without a limit stays a few pieces ahead of the consumer, and no byte is lost."""
    spool = SpooledBuffer(in_memory=10, in_file=50)
    made = 0

    async def make() -> None:
        nonlocal made
        for number in range(100):
            await spool.put(b"%02d" % number * 5)
            made += 1
        await spool.end()

    producer = asyncio.ensure_future(make())
    found, furthest = b"", 0
    while data := await spool.get():
        found += data
        furthest = max(furthest, made - len(found) // 10)
        await asyncio.sleep(0)
    await producer
    assert furthest <= 8
    assert found == b"".join(b"%02d" % number * 5 for number in range(100))
    await spool.close()


async def test_get_from_empty_buffer_waits_for_put() -> None:
    """The consumer may start first; after the end `get` returns at once."""
    spool = SpooledBuffer()
    consumer = asyncio.ensure_future(spool.get())
    await asyncio.sleep(0)
    assert not consumer.done()
    await spool.put(b"x")
    assert await consumer == b"x"
    await spool.end()
    assert [await spool.get(), await spool.get()] == [b"", b""]
    await spool.close()


async def test_cancelled_put_does_not_move_the_next_one() -> None:
    """The file call of a cancelled caller ends before the next file call begins."""
    spool = SpooledBuffer(in_memory=0)
    for number in range(20):
        cancelled = asyncio.ensure_future(spool.put(b"cancelled" * 10_000))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        if not cancelled.cancelled():
            assert await spool.get() == b"cancelled" * 10_000
        data = b"%d" % number * 10_000
        await spool.put(data)
        assert await spool.get() == data
    await spool.close()


async def test_put_waits_for_its_consumer_while_the_files_of_all_buffers_are_full() -> None:
    """The bytes of one client that does not read leave no room for another one, whose own reads make progress."""
    budget = SpoolBudget(10)
    first, second = (SpooledBuffer(in_memory=1, budget=budget) for _ in range(2))
    await first.put(b"0123456789")
    await second.put(b"ab")
    waiting = asyncio.ensure_future(second.put(b"cd"))
    assert await second.get() == b"ab"
    await waiting
    assert await second.get() == b"cd"
    await first.close()
    await second.close()
