"""Bounds of log lines: clients can forge no line, command no terminal, and make no line long."""

import logging
import sys

import pytest
from fastapi import Request
from pydantic_core import from_json

from autocrud.errors import AutoCRUDError
from autocrud.routes.response.problems import answer_problem
from autocrud.service.logging_setup import JsonFormatter, TextFormatter, configure_logging
from autocrud.service.main import create_app
from autocrud.service.settings import LogFormat, Settings, StorageKind
from tests.http.conftest import serving

_FORGED = "2026-01-01T00:00:00.000Z INFO autocrud.access"
_UNSAFE = ("\n", "\r", "\x1b", "\x9b", "\x7f", "\u2028", "\u202e", "\0")


def _record(message: str, *, raises: bool = False) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        return logging.LogRecord("test", logging.ERROR, "", 0, "%s", (message,), sys.exc_info() if raises else None)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_line_of_a_client_has_no_control_characters(formatter: logging.Formatter) -> None:
    """A message is one line, without characters that end lines, command a terminal or turn the text around."""
    line = formatter.format(_record("".join(_UNSAFE) + _FORGED))
    assert not [character for character in _UNSAFE if character in line]
    assert len(line.splitlines()) == 1


def test_traceback_forges_no_line() -> None:
    """The text of an exception may have several lines; none of them begins as a line of the log does."""
    lines = TextFormatter().format(_record(f"a\n{_FORGED}\x1b[2J", raises=True)).splitlines()
    assert len(lines) > 2
    assert all(line.startswith("  ") for line in lines[1:] if _FORGED in line)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_line_of_a_client_is_short(formatter: logging.Formatter) -> None:
    """A long message is cut."""
    assert len(formatter.format(_record("x" * 10**6))) < 5000


@pytest.mark.parametrize("log_format", LogFormat)
async def test_access_log_has_one_line_for_each_request(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path with encoded line ends and escapes makes one line, in both formats."""
    settings = Settings(storage=StorageKind.memory, log_format=log_format)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        async with serving(create_app(settings)) as http:
            configure_logging(settings)
            capsys.readouterr()
            for text in ("%0a", "%0d%0a", "%1b[2J", "%c2%9b31m", "%e2%80%a8"):
                await http.get(f"/movie/{text}{_FORGED}")
            await http.get("/" + "x" * 50_000)
            logging.getLogger().handlers[0].flush()
        lines = capsys.readouterr().err.splitlines()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    access = [line for line in lines if "autocrud.access [" in line or '"logger":"autocrud.access"' in line]
    assert len(access) == 6
    assert all(len(line) < 5000 and line.isprintable() for line in access)
    if log_format is LogFormat.json:
        assert all(from_json(line)["status"] in (400, 404) for line in access)


async def test_log_of_a_library_has_no_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    """Log lines of the routes quote the path, because an application has formatters of its own."""
    scope = {"type": "http", "method": "GET", "path": "/a\n\x1b[2J", "headers": [], "query_string": b""}
    await answer_problem(Request(scope), AutoCRUDError("failed"))
    assert not [character for character in caplog.messages[0] if not character.isprintable()]
