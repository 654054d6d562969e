"""docs/extending.md is executed: its files are written, its commands run, their output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"(?:^`(?P<file>[^`\n]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Command:
    """A line after `$ `, and the lines that its output must contain."""

    line: str
    expected: list[str]


def commands(text: str) -> list[Command]:
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        elif line.strip():
            found[-1].expected.append(line)
    return found


def install(folder: Path) -> None:
    """What pip would leave of pyproject.toml: metadata with entry points beside the package."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))


def test_the_page_works_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = list(BLOCK.finditer(PAGE.read_text()))
    for block in blocks:
        if block["file"]:
            path = tmp_path / block["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block["text"])
    # The target of the last section is made by a command of that section; until then its entry would dangle.
    install(tmp_path)
    targets = tmp_path / "moonshot" / "moonshot-1.toml"
    targets.write_bytes(shipped_target())
    ran = 0
    for command in [c for b in blocks if b["kind"] == "console" for c in commands(b["text"])]:
        output = run(command.line, tmp_path)
        for line in command.expected:
            assert line in output, f"$ {command.line}\nexpected: {line}\nfound:\n{output}"
        ran += 1
    assert ran >= 12 and "64.0" in targets.read_text()


def shipped_target() -> bytes:
    from npuisa.target import target_files

    return target_files(registered=False)["edge-4t"].replace(b'name = "edge-4t"', b'name = "moonshot-1"')


def run(line: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
    return done.stdout
