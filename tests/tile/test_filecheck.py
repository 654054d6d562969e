"""FileCheck tests of the tile passes, in-process.

A file starts with `// PASSES: pass{option=1},pass`; `// TARGET: sram=4096 acc=2048` gives sizes of memories.
Each part between `// -----` lines is a module of its own.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser as CheckParser
from filecheck.parser import pattern_for_opts
from tile_text import edge, parse, run_passes

FILES = sorted((Path(__file__).parent / "filecheck").glob("*.mlir"))
DIRECTIVE = re.compile(r"//\s*CHECK[A-Z0-9-]*\b(?P<colon>:?)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_filecheck(path: Path) -> None:
    text = path.read_text()
    passes = re.search(r"// PASSES: (.+)", text)
    sizes = re.search(r"// TARGET: sram=(\d+) acc=(\d+)", text)
    assert passes
    target = edge(int(sizes.group(1)), int(sizes.group(2))) if sizes else edge()
    for part in text.split("// -----"):
        module = run_passes(parse(part), passes.group(1), target)
        options = Options(match_filename=str(path))
        checks = CheckParser(options, io.StringIO(part), *pattern_for_opts(options))
        matcher = Matcher(options, FInput(path.name, str(module)), checks)
        matcher.stderr = io.StringIO()
        assert matcher.run() == 0, f"{matcher.stderr.getvalue()}\n{module}"


def test_directives_have_colons() -> None:
    """A CHECK without its colon checks nothing."""
    assert len(FILES) >= 3
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = DIRECTIVE.search(line)
            assert match is None or match.group("colon"), f"{path.name}:{number}: {line}"
        assert all("CHECK:" in part for part in path.read_text().split("// -----")), path.name
