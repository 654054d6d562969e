"""The dialect as text: round trip of every operation, verifiers that refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from npucc.dialects.tile import AllocOp, GemmOp, MapOp, Tile, nodes_of, standard_gemm_maps
from npucc.driver import make_context
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

HERE = Path(__file__).parent
INVALID = sorted((HERE / "invalid").glob("*.mlir"))


def test_round_trip() -> None:
    module = Parser(make_context(), (HERE / "all_ops.mlir").read_text()).parse_module()
    module.verify()
    text = str(module)
    again = Parser(make_context(), text).parse_module()
    again.verify()
    assert str(again) == text


def test_round_trip_covers_every_operation() -> None:
    module = Parser(make_context(), (HERE / "all_ops.mlir").read_text()).parse_module()
    assert {op.name for op in Tile.operations} <= {op.name for op in module.walk()}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid(path: Path) -> None:
    """Each part (`// -----`) fails with the message that its `// EXPECT:` line gives."""
    for part in path.read_text().split("// -----"):
        expected = part.split("// EXPECT:")[1].split("\n")[0].strip()
        with pytest.raises((VerifyException, ParseError)) as caught:
            Parser(make_context(), part).parse_module().verify()
        assert expected in str(caught.value), part


def test_nodes_come_from_the_operation_or_its_group() -> None:
    module = Parser(make_context(), (HERE / "all_ops.mlir").read_text()).parse_module()
    maps = [op for op in module.walk() if isinstance(op, MapOp)]
    assert nodes_of(maps[0]) == ("/add",)
    assert nodes_of(maps[1]) == ("/conv", "/add")
    assert all(nodes_of(op) == () for op in module.walk() if isinstance(op, AllocOp | GemmOp))


def test_standard_maps() -> None:
    a, b = standard_gemm_maps(1)
    assert str(a) == "(d0, d1, d2, d3) -> (d0, d1, d3)"
    assert str(b) == "(d0, d1, d2, d3) -> (d0, d3, d2)"
