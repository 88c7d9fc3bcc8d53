"""Logging: one line per event on standard error, as text or JSON, with the request's id."""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.config import dictConfig
from textwrap import indent
from typing import Any, TextIO

from pydantic_core import to_json

from autocrud.errors.base import shorten
from autocrud.service.settings import LogFormat, Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


# Control characters, which end lines or command terminals, and marks that change the direction of a text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_TRACEBACK = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))
_MAX_LINE = 4000


def printable(text: str) -> str:
    """Return a text of one line for the log: escaped where it has control characters, and cut if it is long."""
    return _escape(_UNSAFE, shorten(text, _MAX_LINE))


def _escape(unsafe: re.Pattern[str], text: str) -> str:
    return unsafe.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class RequestIdFilter(logging.Filter):
    """Adds the id of the current request to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, because no record is dropped."""
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """Lines for people: time, level, logger, request, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, followed by the traceback if there is one."""
        identity = getattr(record, "request_id", None) or "-"
        line = f"{_time(record)} {record.levelname:<7} {record.name} [{identity}] {printable(record.getMessage())}"
        if not record.exc_info:
            return line
        # The text of an exception may quote a client. No line of a traceback begins as a line of the log does.
        traceback = _escape(_UNSAFE_IN_TRACEBACK, self.formatException(record.exc_info))
        return f"{line}\n{indent(traceback, '  ')}"


class JsonFormatter(logging.Formatter):
    """Lines for machines: one JSON object each. A record's `fields` become members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return exactly one line; a traceback is a member."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", None),
            "message": shorten(record.getMessage(), _MAX_LINE),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # JSON escapes control characters, but not those past ASCII.
        return _escape(_UNSAFE, to_json(line).decode())


class TurnHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop with one system call, and warnings at once.

    Each write releases the interpreter lock. Under load that costs more than the line itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Buffer the line and schedule a flush. Flush at once for warnings and outside an event loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        try:
            self._lines.append(self.format(record))
        except Exception:  # as in every logging handler: a line that cannot be formatted must not end a request
            self.handleError(record)
        if loop is None or record.levelno >= logging.WARNING:
            self.flush()
        elif len(self._lines) == 1:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write the buffered lines."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def logging_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": RequestIdFilter}},
        "formatters": {LogFormat.text: {"()": TextFormatter}, LogFormat.json: {"()": JsonFormatter}},
        "handlers": {
            "stderr": {
                "()": TurnHandler,
                "formatter": settings.log_format.value,
                "filters": ["request_id"],
            }
        },
        "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
    }


def configure_logging(settings: Settings) -> None:
    """Set up logging for this process."""
    # No formatter uses these, and each record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    dictConfig(logging_config(settings))


@contextmanager
def without_warnings(*names: str) -> Iterator[None]:
    """Drop the warnings of these loggers for the duration of the context."""

    def is_kept(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(is_kept)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_kept)
