"""The Dockerfile's steps in a clean folder."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.servers import ROOT, answering
from tests.stack.test_compose import smoke


def test_dockerfile_steps_build_a_serving_image(tmp_path: Path) -> None:
    """Each COPY finds its files, each RUN succeeds, and the CMD serves."""
    stages = re.split(r"(?m)^FROM .*\n", (ROOT / "Dockerfile").read_text().replace("\\\n", " "))
    _, build, final = stages
    root = tmp_path / "root"

    def inside(text: str) -> str:
        """Replace absolute paths of the image by paths of the folder."""
        return re.sub(r"(?<![\w.-])/(venv|build|data|home)", rf"{root}/\1", text)

    work = root / "build"
    work.mkdir(parents=True)
    for line in build.splitlines():
        step, _, rest = line.partition(" ")
        if step == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                _copy(ROOT / source, work / target / (source if target == "./" else ""))
        elif step == "RUN":
            command = re.sub(r"^python ", f"{sys.executable} ", inside(rest))
            subprocess.run(command, shell=True, cwd=work, check=True, capture_output=True)
    assert "USER autocrud" in final
    work, environment, served_by = _run_final_stage(final, root, inside)
    with answering(served_by, work, environment | {"AUTOCRUD_HOST": "127.0.0.1"}) as base:
        smoke(base)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _run_final_stage(stage: str, root: Path, inside: Callable[[str], str]) -> tuple[Path, dict[str, str], list[str]]:
    """Carry out the last stage. Return its working folder, its environment and its command."""
    work, environment, command = root, {"AUTOCRUD_STORAGE": "disk"}, list[str]()
    for line in stage.splitlines():
        step, _, rest = line.partition(" ")
        if step == "WORKDIR":
            work = Path(inside(rest))
            work.mkdir(parents=True, exist_ok=True)
        elif step == "COPY" and not rest.startswith("--from"):
            source, target = shlex.split(rest)
            _copy(ROOT / source, work / target)
        elif step == "ENV":
            environment |= dict(part.split("=", 1) for part in shlex.split(inside(rest)))
        elif step == "CMD":
            command = yaml.safe_load(inside(rest))
    return work, environment, command
