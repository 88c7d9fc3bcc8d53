"""Bodies of requests: the byte order mark before a streamed text."""

from collections.abc import AsyncIterator, Sequence

import pytest

from autocrud.routes.request.body import skip_bom


async def stream(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks of a body."""
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], b""),
        ([b""], b""),
        ([b"{}", b"\n{}"], b"{}\n{}"),
        ([b"\xef\xbb\xbf{}", b"{}"], b"{}{}"),
        ([b"\xef", b"\xbb", b"\xbf", b"{}"], b"{}"),
        ([b"\xef\xbb", b"\xbf"], b""),
        ([b"\xef\xbb"], b"\xef\xbb"),
        ([b"\xef", b"{}"], b"\xef{}"),
        ([b"\xef\xbb\xbf\xef\xbb\xbf{}"], b"\xef\xbb\xbf{}"),
        ([b"{}", b"\xef\xbb\xbf"], b"{}\xef\xbb\xbf"),
    ],
)
async def test_skip_bom_drops_one_mark_at_the_begin_however_chunks_divide_it(
    chunks: Sequence[bytes], expected: bytes
) -> None:
    """Other bytes stay, also those of half a mark."""
    assert b"".join([chunk async for chunk in skip_bom(stream(chunks))]) == expected
