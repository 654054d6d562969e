"""The dialect as text: round trip, verifiers, and what Python constructors infer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from graph_models import load, new_context
from npucc.dialects import graph
from npucc.dialects.graph import (
    AddOp,
    ClipOp,
    ConstantOp,
    ConvOp,
    GraphOp,
    MatmulOp,
    ScheduleAttr,
    nodes_of,
    with_nodes,
)
from npucc.types import element_name, element_type, tensor
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

HERE = Path(__file__).parent
INVALID = sorted((HERE / "invalid").glob("*.mlir"))


def test_text_round_trip() -> None:
    model = load((HERE / "all_ops.mlir").read_text())
    text = str(model.module)
    again = Parser(new_context(), text).parse_module()
    again.verify()
    assert str(again) == text
    model.run()


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid(path: Path) -> None:
    """Each part (`// -----`) fails with the message that its `// EXPECT:` line gives."""
    for part in path.read_text().split("// -----"):
        expected = part.split("// EXPECT:")[1].split("\n")[0].strip()
        with pytest.raises((VerifyException, ParseError)) as caught:
            Parser(new_context(), part).parse_module().verify()
        assert expected in str(caught.value)


def test_invalid_covers_every_family() -> None:
    assert len(INVALID) >= 4
    assert all("// EXPECT:" in part for path in INVALID for part in path.read_text().split("// -----"))


def test_constructors_infer() -> None:
    x = ConstantOp("x", tensor((2, 9, 9, 6), "f16"))
    w = ConstantOp("w", tensor((3, 3, 2, 8), "f16"))
    with pytest.raises(VerifyException, match="x has 6 channels"):
        ConvOp(x, w, groups=2)
    w = ConstantOp("w", tensor((3, 3, 3, 8), "f16"))
    assert ConvOp(x, w, (2, 2), pads=(1, 1, 1, 1), groups=2, result_element="f32").result.type == tensor(
        (2, 5, 5, 8), "f32"
    )
    a, b = ConstantOp("a", tensor((5, 1, 2, 3), "i8")), ConstantOp("b", tensor((4, 3, 7), "i8"))
    assert MatmulOp(a, b, "i32").result.type == tensor((5, 4, 2, 7), "i32")


def clip_bounds(properties: str) -> list[float | None]:
    clip = f"%r = graph.clip(%x) <{properties}> : (tensor<3xf32>) -> tensor<3xf32>"
    text = f"func.func @main(%x: tensor<3xf32>) {{ {clip} func.return }}"
    module = load(text).module
    assert str(load(str(module)).module) == str(module)
    op = next(op for op in module.walk() if isinstance(op, ClipOp))
    return [None if bound is None else bound.value.data for bound in (op.min, op.max)]


def test_float_properties() -> None:
    """What a float property's text means does not depend on how the number is written."""
    assert clip_bounds("min = 1, max = 6.0") == [1.0, 6.0]
    assert clip_bounds("min = -inf, max = inf") == [-math.inf, math.inf]
    assert clip_bounds("min = 0xFFF0000000000000, max = 0x4000000000000000") == [-math.inf, 2.0]
    assert clip_bounds("max = -2.5e300") == [None, -2.5e300]
    (low, _) = clip_bounds("min = nan")
    assert low is not None and math.isnan(low)


def test_nodes() -> None:
    op = with_nodes(AddOp(a := ConstantOp("a", tensor((1,), "f32")), a), ["n1", "n2", "n1"])
    assert nodes_of(op) == ("n1", "n2")
    assert nodes_of(with_nodes(op, [])) == ()


def test_schedule_accessors() -> None:
    schedule = ScheduleAttr.make(["n", "m"], {"m": 197, "n": 64}, {"in0": 1, "acc": 2})
    assert schedule.loop_order() == ("n", "m")
    assert schedule.tile_sizes() == {"m": 197, "n": 64}
    assert schedule.depths() == {"in0": 1, "acc": 2}
    with pytest.raises(VerifyException, match="positive"):
        ScheduleAttr.make(["n"], {"n": 0}, {})


def test_every_op_has_semantics_and_doc() -> None:
    ops = [op for op in graph.Graph.operations if issubclass(op, GraphOp)]
    assert len(ops) > 50
    for op in ops:
        assert not getattr(op, "__abstractmethods__", None), op.name
        assert op.__doc__, op.name


def test_element_names() -> None:
    for name in ("f16", "bf16", "f32", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool"):
        assert element_name(element_type(name)) == name
