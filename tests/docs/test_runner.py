"""The runner of the pages finds what drifts: wrong outputs, missing outputs, and blocks that cannot be read."""

from pathlib import Path

import pytest

from tests.docs.blocks import CodeBlock, Command, read_blocks
from tests.docs.outputs import Substitutions
from tests.docs.page import PageRunner

SHOWN = (
    '{"id": "01a2099f-0a21-7531-9b08-4537892230fe", "etag": "1-20261123181547490043", "at": "2026-11-23T18:15:47.49Z"}'
)
ACTUAL = (
    '{"id":"01a22cce-99a0-7248-a4e0-8cb51fc7001c","etag":"1-20270101000000000001","at":"2027-01-01T00:00:00.000001Z"}'
)


def _block(language: str, content: str, *, title: str | None = None, marker: str = "") -> CodeBlock:
    return CodeBlock(language, title, content, marker, 1)


def test_comparison_replaces_volatile_values_and_learns_them() -> None:
    """A later command of the page refers to the value of this run."""
    values = Substitutions()
    assert values.learn(SHOWN, ACTUAL)
    assert (
        values.apply("GET /note/01a2099f-0a21-7531-9b08-4537892230fe")
        == "GET /note/01a22cce-99a0-7248-a4e0-8cb51fc7001c"
    )
    assert values.apply('If-Match: "1-20261123181547490043"') == 'If-Match: "1-20270101000000000001"'


@pytest.mark.parametrize("actual", ['{"count":2}', '{"count":1,"more":1}', ""])
def test_comparison_refuses_another_output(actual: str) -> None:
    """Everything else counts."""
    assert not Substitutions().learn('{"count": 1}', actual)


def test_comparison_skips_what_an_ellipsis_stands_for() -> None:
    """The text around it must agree."""
    assert Substitutions().learn('{"a": 1, …, "z": 2}', '{"a":1,"b":3,"z":2}')
    assert not Substitutions().learn('{"a": 1, …, "z": 2}', '{"a":1,"b":3,"z":4}')


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([_block("console", "$ echo one\ntwo\n")], id="another output"),
        pytest.param([_block("console", "$ echo one\n")], id="an output that is not shown"),
        pytest.param([_block("console", "$ false\n")], id="a command that fails"),
        pytest.param([_block("console", "$ true\n", marker="fails")], id="a command that should fail"),
        pytest.param([_block("python", "print(1)\n")], id="a print that is not shown"),
        pytest.param([_block("python", "print(1)\n"), _block("text", "2\n", title="Output")], id="another print"),
        pytest.param([_block("python", "assert False\n")], id="an assertion that fails"),
    ],
)
def test_runner_refuses_blocks_that_drifted(tmp_path: Path, blocks: list[CodeBlock]) -> None:
    """Each of these would be a wrong page."""
    with PageRunner(tmp_path) as runner, pytest.raises(AssertionError):
        runner.run_all(blocks)


def test_reader_splits_commands_from_outputs(tmp_path: Path) -> None:
    """Commands go on after a backslash and within quotes. A comment before a block marks it."""
    page = tmp_path / "page.md"
    page.write_text("<!-- fails -->\n```console\n$ curl \\\n    x -d '{\n  }'\nout\n$ next\n```\n")
    (block,) = read_blocks(page)
    assert block.marker == "fails"
    assert block.commands == [Command("curl \\\n    x -d '{\n  }'", "out"), Command("next", "")]


def test_reader_refuses_an_indented_block(tmp_path: Path) -> None:
    """It has no language, so it would not run."""
    page = tmp_path / "page.md"
    page.write_text("Text\n\n    $ curl x\n")
    with pytest.raises(AssertionError, match="no language"):
        read_blocks(page)
