"""FileCheck tests of the graph passes, in-process.

A file starts with `// PASSES: pass{option=1},pass`; `// CONSTANT name = values` gives constants; each part between
`// -----` lines is a module of its own.
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
from graph_models import load
from npucc.passes.registry import make_pipeline

FILES = sorted((Path(__file__).parent / "filecheck").glob("*.mlir"))
DIRECTIVE = re.compile(r"//\s*CHECK[A-Z0-9-]*\b(?P<colon>:?)")


def parts(path: Path) -> list[tuple[str, str]]:
    """(pass pipeline, text) of each part; the first line of the file gives the pipeline of all."""
    text = path.read_text()
    passes = re.search(r"// PASSES: (.+)", text)
    assert passes, f"{path.name} has no // PASSES: line"
    return [(passes.group(1), part) for part in text.split("// -----")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_filecheck(path: Path) -> None:
    for passes, text in parts(path):
        model = load(text)
        before = model.run()
        model.apply(*make_pipeline(passes))
        options = Options(match_filename=str(path))
        matcher = Matcher(
            options,
            FInput(path.name, str(model.module)),
            CheckParser(options, io.StringIO(text), *pattern_for_opts(options)),
        )
        output = io.StringIO()
        matcher.stderr = output
        assert matcher.run() == 0, f"{output.getvalue()}\n{model.module}"
        tolerance = 0.02 if "precision" in passes else 1e-5
        for old, new in zip(before, model.run()):
            scale = abs(old).max() + 1e-6 if old.size else 1
            assert abs(old.astype(float) - new.astype(float)).max(initial=0) <= tolerance * scale


def test_directives_have_colons() -> None:
    """A CHECK without its colon checks nothing."""
    assert len(FILES) >= 4
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = DIRECTIVE.search(line)
            assert match is None or match.group("colon"), f"{path.name}:{number}: {line}"
        assert all("CHECK" in text for _, text in parts(path)), f"{path.name}: a part checks nothing"
