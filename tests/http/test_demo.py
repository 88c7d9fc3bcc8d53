"""The demo: words for a newcomer, and three URLs at the end."""

from pathlib import Path

import httpx
import pytest

from autocrud.testing.servers import free_port
from examples import load_movies
from tests.servers import service


async def test_demo_without_a_service_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence."""
    base = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AUTOCRUD_URL", base)
    assert await load_movies.main() == 1
    said = f"No service answers at {base}: start it with `make run` in another terminal, and try again.\n"
    assert capsys.readouterr().out == said


async def test_demo_for_other_models_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service has no films."""
    with service(tmp_path, models="examples.cinema") as running:
        monkeypatch.setenv("AUTOCRUD_URL", running.base)
        assert await load_movies.main() == 1
    assert "does not serve films" in capsys.readouterr().out


async def test_demo_may_be_repeated_and_ends_with_three_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each URL answers."""
    rows = [row for row in load_movies.films() if row["year"] == 1949 or row["title"] == "101 Reykjavík"]
    monkeypatch.setattr(load_movies, "films", lambda: rows)
    with service(tmp_path) as running:
        monkeypatch.setenv("AUTOCRUD_URL", running.base)
        for sentence in (
            f"Stored: {len(rows) - 1} films.",
            f"Stored before, and unchanged: {len(rows) - 2} films.\nStored before, and changed since: 1.",
        ):
            assert await load_movies.main() == 0
            output = capsys.readouterr()
            assert sentence in output.out
            assert "1 times invalid_data, such as '101 Reykjavík': box_office: " in output.out
            assert "the same bytes" in output.out
            assert f"100 % |{'█' * 40}| {len(rows)} of {len(rows)} films" in output.err
            urls = [line.split()[0] for line in output.out.splitlines()[-3:]]
            async with httpx.AsyncClient() as http:
                assert [(await http.get(url)).status_code for url in urls] == [200, 200, 200]
