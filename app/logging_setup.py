"""How the service logs: one line per event on standard error, as text or as JSON, with the request's id."""

import asyncio
import logging
from contextlib import nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import Any, TextIO

from pydantic_core import to_json

from app.settings import LogFormat, Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestIdFilter(logging.Filter):
    """Gives each record the id of the request in whose course it was made."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """Lines for people: time, level, logger, request, message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and behind it the traceback where there is one."""
        identity = getattr(record, "request_id", None) or "-"
        line = f"{_time(record)} {record.levelname:<7} {record.name} [{identity}] {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """Lines for machines: one JSON object each. A record's `fields`, where it has any, become members."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", None),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return to_json(line).decode()


class TurnHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop with one system call; warnings and worse at once.

    Each write lets other threads take the interpreter, which under load costs more than the line itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note the line, and see to it that it is written."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        try:
            self._lines.append(self.format(record))
        except Exception:  # what every handler does: a line that cannot be formatted must not end a request
            self.handleError(record)
        if loop is None or record.levelno >= logging.WARNING:
            self.flush()
        elif len(self._lines) == 1:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is noted."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            super().flush()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def logging_config(settings: Settings) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig`."""
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
    # No line says these, and each record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    dictConfig(logging_config(settings))
