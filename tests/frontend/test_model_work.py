"""The work of the ONNX nodes against direct counts, and the bound that reports are measured against."""

from __future__ import annotations

from collections.abc import Mapping

import npucc
import numpy as np
import onnx
import pytest
from npucc.frontend import import_model
from npucc.module_metadata import read_metadata
from npuisa.target import Target
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, np.ndarray]


def model(node: onnx.NodeProto, x: tuple[int, ...], y: tuple[int, ...], constants: Arrays) -> onnx.ModelProto:
    """One node with input x, output y and constants."""
    value = [
        helper.make_tensor_value_info(*item) for item in (("x", TensorProto.FLOAT, x), ("y", TensorProto.FLOAT, y))
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "g", value[:1], value[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def counts(proto: onnx.ModelProto) -> dict[str, str]:
    facts = read_metadata(import_model(proto).module)
    return {key: facts[key] for key in ("macs", "depthwise_macs", "weights")}


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("stride, dilation, pad, groups", [(1, 1, 0, 1), (2, 1, 1, 1), (1, 2, 2, 2), (2, 1, 1, 4)])
def test_convolutions_count_products_with_real_data(stride: int, dilation: int, pad: int, groups: int):
    """Against a convolution of ones by ones, which counts them."""
    size, channels, filters, kernel = 9, 4, 8, 3
    out = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
    padded = np.pad(np.ones((size, size)), pad)
    windows = sum(
        padded[i * stride + p * dilation, j * stride + q * dilation]
        for i in range(out) for j in range(out) for p in range(kernel) for q in range(kernel)
    )  # fmt: skip
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[stride] * 2, dilations=[dilation] * 2, pads=[pad] * 4, group=groups
    )
    w = floats(filters, channels // groups, kernel, kernel)
    found = counts(model(node, (1, channels, size, size), (1, filters, out, out), {"w": w}))
    key, other = ("depthwise_macs", "macs") if groups == channels else ("macs", "depthwise_macs")
    assert found[key] == f"f32:{int(windows) * filters * channels // groups}" and found[other] == ""
    assert found["weights"] == f"f32:{w.size}"


def test_a_transposed_convolution_is_not_counted_as_the_dense_one_it_becomes():
    """Each input meets each kernel element once, but for products that fall outside of the result."""
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])
    proto = model(node, (1, 64, 32, 32), (1, 64, 64, 64), {"w": floats(64, 64, 3, 3)})
    taps = sum(0 <= 2 * i + k - 1 < 64 for i in range(32) for k in range(3))
    assert counts(proto)["macs"] == f"f32:{64 * 64 * taps**2}"
    target = Target.load("edge-4t")
    report = npucc.simulate(npucc.compile(proto.SerializeToString(), target), target=target).report
    assert report is not None
    assert report.bound_cycles == -(-64 * 64 * taps**2 // 256) < report.program_bound_cycles <= report.cycles
    assert report.efficiency == report.bound_cycles / report.cycles


def test_an_interpolation_matrix_is_no_work_of_the_model():
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear")
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    proto = model(node, (1, 8, 16, 16), (1, 8, 32, 32), scales)
    assert counts(proto) == {"macs": "", "depthwise_macs": "", "weights": ""}
    target = Target.load("edge-4t")
    report = npucc.simulate(npucc.compile(proto.SerializeToString(), target), target=target).report
    assert report is not None and report.macs == 0
    assert report.bound_by == "dram" and report.bound_cycles == -(-4 * 8 * (256 + 1024) // 32)


@pytest.mark.parametrize(
    "op, attributes, shapes, x, y, macs",
    [
        ("MatMul", {}, {"w": (20, 30)}, (2, 5, 20), (2, 5, 30), 2 * 5 * 20 * 30),
        ("Gemm", {"transB": 1}, {"w": (30, 20)}, (5, 20), (5, 30), 5 * 20 * 30),
        ("Einsum", {"equation": "bij,jk->bik"}, {"w": (20, 30)}, (2, 5, 20), (2, 5, 30), 2 * 5 * 20 * 30),
        ("Einsum", {"equation": "bi,bi->bi"}, {"w": (2, 5)}, (2, 5), (2, 5), 0),
    ],
)
def test_products(
    op: str, attributes: dict[str, object], shapes: dict[str, tuple[int, ...]],
    x: tuple[int, ...], y: tuple[int, ...], macs: int,
):  # fmt: skip
    node = helper.make_node(op, ["x", *shapes], ["y"], **attributes)
    proto = model(node, x, y, {name: floats(*shape) for name, shape in shapes.items()})
    assert counts(proto)["macs"] == (f"f32:{macs}" if macs else "")


def test_a_recurrent_layer_counts_every_step_once_and_its_weights_once():
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=7)
    proto = model(node, (5, 2, 3), (5, 1, 2, 7), {"w": floats(1, 28, 3), "r": floats(1, 28, 7)})
    assert counts(proto)["macs"] == f"f32:{2 * 28 * (5 * 3 + 4 * 7)}"
    assert counts(proto)["weights"] == f"f32:{28 * 3 + 28 * 7}"


def test_products_that_nothing_reads_do_not_count():
    dead = helper.make_node("MatMul", ["x", "w"], ["unused"])
    proto = model(helper.make_node("Relu", ["x"], ["y"]), (4, 4), (4, 4), {"w": floats(4, 4)})
    proto.graph.node.insert(0, dead)
    assert counts(proto)["macs"] == ""


def test_ops_of_onnxruntime_count_by_their_contractions():
    """Attention: the projection, q k' and the sum of the values."""
    batch, length, features, heads, size = 2, 5, 6, 2, 4
    width = heads * size
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, length, features])
    weights = [
        numpy_helper.from_array(np.ones((features, 3 * width), np.float32), "w"),
        numpy_helper.from_array(np.ones(3 * width, np.float32), "b"),
    ]
    options = {"domain": "com.microsoft", "name": "attention", "num_heads": heads}
    node = helper.make_node("Attention", ["x", "w", "b"], ["y"], **options)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, length, width])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "g", [x], [y], weights)
    proto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    metadata = read_metadata(import_model(proto).module)
    projection = batch * length * features * 3 * width
    assert metadata["macs"] == f"f32:{projection + 2 * batch * heads * length * length * size}"
    assert metadata["weights"] == f"f32:{features * 3 * width}"
