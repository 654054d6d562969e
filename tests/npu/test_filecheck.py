"""FileCheck tests of `convert-tile-to-npu`, in-process."""

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
from npucc.driver import make_context
from npucc.passes.registry import make_pass
from xdsl.parser import Parser

FILES = sorted((Path(__file__).parent / "filecheck").glob("*.mlir"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_filecheck(path: Path) -> None:
    text, context = path.read_text(), make_context()
    module = Parser(context, text).parse_module()
    module.verify()
    make_pass("convert-tile-to-npu").apply(context, module)
    module.verify()
    options = Options(match_filename=str(path))
    check = CheckParser(options, io.StringIO(text), *pattern_for_opts(options))
    matcher = Matcher(options, FInput(path.name, str(module)), check)
    matcher.stderr = output = io.StringIO()
    assert matcher.run() == 0, f"{output.getvalue()}\n{module}"


def test_directives_have_colons() -> None:
    """A CHECK without its colon checks nothing."""
    for path in FILES:
        lines = [line for line in path.read_text().splitlines() if re.search(r"//\s*CHECK", line)]
        assert lines, f"{path.name} checks nothing"
        assert all(re.search(r"//\s*CHECK[A-Z-]*:", line) for line in lines), path.name
