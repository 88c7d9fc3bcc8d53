"""Spool: bytes arrive in order, whoever is the faster, and in bounded memory."""

import asyncio

from autocrud.routes.response.spool import SpooledBuffer


async def test_what_goes_in_comes_out_in_order() -> None:
    """By way of memory, of the file, and of memory again; however large the pieces are."""
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


async def test_who_makes_too_much_waits_for_who_takes_it() -> None:
    """And goes on with what is taken; together they lose nothing."""
    spool = SpooledBuffer(in_memory=10, in_file=50)
    made = 0

    async def make() -> None:
        nonlocal made
        for number in range(100):
            await spool.put(b"%02d" % number * 5)
            made += 1
        await spool.end()

    making = asyncio.ensure_future(make())
    found, furthest = b"", 0
    while data := await spool.get():
        found += data
        furthest = max(furthest, made - len(found) // 10)
        await asyncio.sleep(0)
    await making
    assert furthest <= 8
    assert found == b"".join(b"%02d" % number * 5 for number in range(100))
    await spool.close()
