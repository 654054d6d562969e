"""Bad input: the right exit code, a message with a remedy, no traceback, bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from bad_files import CASES

MAX_BYTES = 1 << 30
COMMAND = "import resource, sys; from npucc.cli.main import main; sys.argv[0] = 'npucc'; main()"


LAUNCHER = (
    "import resource, subprocess, sys\n"
    "code = subprocess.run([sys.executable, '-c', *sys.argv[2:]]).returncode\n"
    "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
    "open(sys.argv[1], 'w').write(f'{code} {peak}')\n"
)
"""Starts the command from a small process: a child's peak includes the size of its parent at the fork."""


def run_npucc(arguments: list[str], folder: Path) -> tuple[int, str, str, int]:
    """(exit code, stdout, stderr, peak resident bytes) of the command in a process of its own."""
    with (folder / "stdout").open("w") as stdout, (folder / "stderr").open("w") as stderr:
        subprocess.run(
            [sys.executable, "-c", LAUNCHER, str(folder / "verdict"), COMMAND, *arguments],
            cwd=folder,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "TMPDIR": str(folder), "NPUCC_CACHE": str(folder)},
            check=True,
        )
    code, peak = (int(number) for number in (folder / "verdict").read_text().split())
    texts = [(folder / name).read_text() for name in ("stdout", "stderr")]
    return code, texts[0], texts[1], peak * 1024


@pytest.mark.parametrize("name", CASES)
def test_bad_file(name: str, tmp_path: Path) -> None:
    bad = CASES[name](tmp_path)
    code, stdout, stderr, peak = run_npucc(bad.arguments, tmp_path)
    assert code == bad.exit_code, f"{stdout}\n{stderr}"
    assert "Traceback" not in stderr + stdout
    if "unsupported" not in stdout:
        assert "npucc: NPU-E" in stderr
    assert "remedy:" in stderr + stdout
    assert peak <= MAX_BYTES, f"{peak} bytes"
    assert not list(tmp_path.glob("npucc-crash-*"))


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 30
