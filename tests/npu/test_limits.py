"""What does not fit a field of an instruction or descriptor is refused with the ONNX node, never an internal error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from npucc.frontend.importer import import_model
from npucc.passes.npu.limits import check_fields, check_view
from npuisa.descriptor import Descriptor, Space
from npuisa.dtypes import dtype_named
from npuisa.encoding import encode
from npuisa.errors import ExitCode, NpuError
from npuisa.instructions import BY_MNEMONIC, MxConv, Operand

VIEW = Descriptor("x", Space.SRAM, dtype_named("f16"), 0, (4, 4), (4, 1))


@pytest.mark.parametrize(
    ("mnemonic", "name", "most"),
    [
        ("mx.conv", "stride_w", 65535),
        ("mx.conv", "groups", 65535),
        ("mx.dwconv", "dilation_h", 65535),
        ("v.dwconv", "pad_h", 65535),
        ("v.window", "size_b", 65535),
        ("v.window", "stride_a", 65535),
        ("q.sync", "count", 255),
    ],
)
def test_fields_hold_their_limit_and_no_more(mnemonic: str, name: str, most: int) -> None:
    check_fields(mnemonic, {name: most}, "here")
    for value in (most + 1, -1):
        with pytest.raises(NpuError, match=f"no {name} outside 0..{most}") as caught:
            check_fields(mnemonic, {name: value}, "tile.conv in group 3, ONNX node conv_7")
        error = caught.value
        assert error.entry.exit_code is ExitCode.UNSUPPORTED
        assert "conv_7" in error.where and error.found == str(value) and error.remedy


def test_what_passes_can_be_encoded() -> None:
    fields = {name: 65535 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w", "pad_h", "pad_w", "groups")}
    check_fields("mx.conv", fields, "")
    encode(MxConv(dst=Operand(0), x=Operand(1), w=Operand(2), **fields))
    assert BY_MNEMONIC["mx.conv"] is MxConv


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": (1,) * 9, "strides": (1,) * 9}, "at most 8 axes"),
        ({"dims": (1 << 32, 1)}, "dim 0 is outside"),
        ({"strides": (1 << 31, 1)}, "stride 0 is outside"),
        ({"base": 1 << 40}, "base is outside"),
    ],
)
def test_views_that_no_descriptor_holds(changes: dict[str, object], message: str) -> None:
    check_view(VIEW, "here")
    with pytest.raises(NpuError, match=message) as caught:
        check_view(replace(VIEW, **changes), "group 3, ONNX node conv_7")
    error = caught.value
    assert error.entry.exit_code is ExitCode.UNSUPPORTED and error.remedy and "conv_7" in error.where


def model(op: str, width: int, kernel: int, **attributes: object) -> onnx.ModelProto:
    node = onnx.helper.make_node(op, ["x", "w"] if op == "Conv" else ["x"], ["y"], name="node_7", **attributes)
    value = onnx.helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(np.ones((1, 1, kernel), np.float32), "w")] if op == "Conv" else []
    inputs, outputs = [value("x", 1, [1, 1, width])], [value("y", 1, None)]
    graph = onnx.helper.make_graph([node], "g", inputs, outputs, weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("op", "width", "kernel", "attributes", "found"),
    [
        ("Conv", 200000, 3, {"strides": [70000]}, "stride 70000"),
        ("Conv", 200000, 2, {"dilations": [70000]}, "dilation 70000"),
        ("MaxPool", 200000, 3, {"strides": [70000], "kernel_shape": [3]}, "stride 70000"),
        ("Conv", 10, 3, {"pads": [70000, 0]}, "padding 70000"),
    ],
)
def test_steps_beyond_the_fields_are_refused_at_import(
    op: str, width: int, kernel: int, attributes: dict[str, object], found: str
) -> None:
    with pytest.raises(NpuError, match=found) as caught:
        import_model(model(op, width, kernel, **attributes))
    assert caught.value.entry.exit_code is ExitCode.UNSUPPORTED
    assert "node_7" in str(caught.value) and "at most 65535" in str(caught.value)
