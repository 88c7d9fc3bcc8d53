"""Report of a migration: failures on standard output, progress and results on standard error."""

from typing import TextIO

from autocrud.manager.migration import MigrationFailure, MigrationProgress

_ERASE_LINE = "\r\x1b[K"
_NAMES_IN_MESSAGE = 10
_PERCENT_PER_LINE = 10  # between two lines if standard error is no terminal


class Report:
    """Writes the report of one model.

    Args:
        failures: stream of the failures, one line each.
        messages: stream of the progress and the result. A terminal shows the progress in one line.
    """

    def __init__(self, model: str, failures: TextIO, messages: TextIO) -> None:
        self._model = model
        self._failures = failures
        self._messages = messages
        self._is_terminal = messages.isatty()
        self._percent = 0
        self._first_names: list[str] = []

    def add_failure(self, failure: MigrationFailure) -> None:
        """Write a failure, with a tab between its parts: model, id, revision, step, field, reason."""
        if len(self._first_names) < _NAMES_IN_MESSAGE:
            self._first_names.append(failure.resource_id or failure.field or "")
        parts = (failure.resource_id, failure.revision_id, failure.step, failure.field, failure.reason)
        self._erase_progress()
        print(self._model, *(" ".join((part or "-").split()) for part in parts), sep="\t", file=self._failures)
        self._failures.flush()

    def show_progress(self, progress: MigrationProgress) -> None:
        """Write how far the migration is."""
        percent = progress.done * 100 // progress.total if progress.total else 100
        failed = f", {_count(progress.failed, 'failure')}" if progress.failed else ""
        line = f"{self._model}: {progress.done:,} of {progress.total:,} ({percent} %){failed}"
        if self._is_terminal:
            self._write(f"{_ERASE_LINE}{line}")
        elif percent >= self._percent + _PERCENT_PER_LINE and progress.total:
            self._percent = percent - percent % _PERCENT_PER_LINE
            self._write(f"{line}\n")

    def show_result(self, result: str, failed: int, failure_text: str) -> None:
        """Write the result, with the names of the first failures."""
        self._erase_progress()
        names = ", ".join(self._first_names) + (", …" if failed > len(self._first_names) else "")
        failures = f"; {failed:,} {failure_text}: {names}" if failed else ""
        self._write(f"{self._model}: {result}{failures}.\n")

    def _erase_progress(self) -> None:
        if self._is_terminal:
            self._write(_ERASE_LINE)

    def _write(self, text: str) -> None:
        self._messages.write(text)
        self._messages.flush()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
