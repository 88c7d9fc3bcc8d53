"""Page runner: runs the blocks of one page in order, in a folder of their own, against real processes."""

import contextlib
import importlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

import httpx

from autocrud.testing.servers import free_port, postgres_programs
from tests.docs.blocks import CodeBlock, Command
from tests.docs.outputs import Substitutions
from tests.servers import ROOT, await_answer, environment
from tests.servers_real import postgres, seaweed

_ADDRESS = "localhost:8000"
# The servers of `make stack`, which have the same users and keys as the servers of a test run.
_S3_ADDRESS, _POSTGRES_ADDRESS = "127.0.0.1:8333", "127.0.0.1:5433"
# Commands of an installation or a checkout, and their modules, which run the code of this checkout.
_PROGRAMS = {
    "make run": "python -m app",
    "autocrud serve": "python -m autocrud serve",
    "autocrud keys": "python -m autocrud keys",
}
_MODULE = "documentation_page"


class PageRunner:
    """Runs blocks of code. Use it as a context, which ends the server of the page.

    Args:
        directory: working directory of the commands, and place of the files that the page shows.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._values = Substitutions()
        self._module = ModuleType(_MODULE)
        self._output = ""
        self._running = ExitStack()
        self._address = _ADDRESS
        self._modules = set(sys.modules)

    def __enter__(self) -> Self:
        sys.modules[_MODULE] = self._module
        sys.path.insert(0, str(self._directory))
        (self._directory / ".curlrc").write_text("silent\nshow-error\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
        sys.path.remove(str(self._directory))
        for name in set(sys.modules) - self._modules:
            path = getattr(sys.modules[name], "__file__", None)
            if name == _MODULE or (path is not None and Path(path).is_relative_to(self._directory)):
                del sys.modules[name]

    def run_all(self, blocks: Iterable[CodeBlock]) -> None:
        """Run the blocks of a page in order. A block with the mark `not run` is left out."""
        for block in blocks:
            if not block.marker.startswith("not run"):
                try:
                    self.run(block)
                except (AssertionError, SyntaxError, NameError, TypeError) as error:
                    raise AssertionError(f"line {block.line}:\n{error}") from error
        self.check_output()

    def run(self, block: CodeBlock) -> None:
        """Run one block, and compare its output."""
        if block.title not in (None, "Output") and block.language != "python":
            (self._directory / str(block.title)).write_text(block.content)
        elif block.language == "python":
            self._run_python(block)
        elif block.language == "http":
            self._send(block.content)
        elif block.title == "Output":
            assert self._values.learn(block.content, self._output), self._output
            self._output = ""
        elif block.marker == "serve":
            self._serve(block.commands[0])
        elif block.language in ("console", "sh"):
            for command in block.commands:
                self._run_command(command, fails=block.marker == "fails")

    def check_output(self) -> None:
        """Refuse an output that the page does not show."""
        assert not self._output, f"the page shows no output: {self._output}"

    def _run_python(self, block: CodeBlock) -> None:
        self.check_output()
        source = self._with_servers(block.content)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            if block.title is not None:
                (self._directory / block.title).write_text(source)
                sys.modules.pop(Path(block.title).stem, None)
                importlib.invalidate_caches()
                importlib.import_module(Path(block.title).stem)
            else:
                code = compile("\n" * (block.line - 1) + source, "page", "exec")
                exec(code, self._module.__dict__)
        self._output = output.getvalue()

    def _run_command(self, command: Command, *, fails: bool) -> None:
        done = subprocess.run(
            ["bash", "-c", self._prepare(command.text)], cwd=self._directory, env=self._environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        output = done.stdout.replace(self._address, _ADDRESS).replace(f"{self._directory}/", "")
        assert (done.returncode != 0) is fails, f"$ {command.text}\nstatus {done.returncode}\n{output}"
        assert self._values.learn(command.output, output), f"$ {command.text}\n{output}"

    def _send(self, content: str) -> None:
        """Send the requests of a block, one per line. A comment stands behind two spaces."""
        with httpx.Client(base_url=f"http://{self._address}") as http:
            for line in content.splitlines():
                method, _, path = line.partition("  ")[0].partition(" ")
                answer = http.request(method, path)
                assert answer.is_success, f"{line}\n{answer.text}"

    def _serve(self, command: Command) -> None:
        """Start a server on a free port, in place of the one before, and wait for its first answer."""
        self._running.close()
        port = free_port()
        self._address = f"127.0.0.1:{port}"
        with (self._directory / "server.log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {self._prepare(command.text)}"], cwd=self._directory, text=True, stdout=log,
                stderr=log, env=self._environment() | {"AUTOCRUD_PORT": str(port), "UVICORN_PORT": str(port)},
                start_new_session=True,
            )  # fmt: skip
        self._running.callback(_end, process)
        await_answer(f"http://{self._address}/", process, self._directory / "server.log")

    def _prepare(self, command: str) -> str:
        text = self._values.apply(command).replace("127.0.0.1:8000", _ADDRESS).replace(_ADDRESS, self._address)
        for shown, actual in _PROGRAMS.items():
            text = re.sub(rf"(?m)(^|(?<=\s)){shown}\b", actual, text)
        return self._with_servers(text)

    def _with_servers(self, text: str) -> str:
        """Replace the addresses of the servers of `make stack` by those of the servers of this run."""
        if _S3_ADDRESS in text:
            text = text.replace(_S3_ADDRESS, f"127.0.0.1:{seaweed().port}")
        if _POSTGRES_ADDRESS in text:
            text = text.replace(_POSTGRES_ADDRESS, f"127.0.0.1:{postgres().port}")
        return text

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), str(postgres_programs()), os.environ["PATH"]])
        python_path = os.pathsep.join([str(ROOT), str(self._directory)])
        return environment({}) | {"PATH": path, "PYTHONPATH": python_path, "CURL_HOME": str(self._directory)}


def _end(process: "subprocess.Popen[str]") -> None:
    """Stop a server, and kill it and its children if it does not stop."""
    with suppress(subprocess.TimeoutExpired):
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
