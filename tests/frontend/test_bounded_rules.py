"""Rules for data-dependent shapes: garbage outside of the box, and onnx.reference on the box as the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from npucc.constants import ConstantStore
from npucc.frontend import registry
from npucc.frontend.importer import GraphImport
from npucc.frontend.load import load_model
from npucc.frontend.node import Bounded, ImportNode
from npucc.interpreters.graph import run_graph
from npucc.types import shape_of
from onnx import helper
from onnx.reference import ReferenceEvaluator
from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp
from xdsl.ir import Region, SSAValue

DOMAIN = "npucc.test.bounded"


def leading_box(node: ImportNode) -> Bounded:
    """Input 0, of which along `axes` only as much is valid as input 1 says."""
    x, build = node.input(0), node.build
    extents: list[SSAValue | int] = list(shape_of(x))
    for place, axis in enumerate(node.integers("axes")):
        extents[axis] = build.reshape(build.slice_axis(node.input(1), 0, place, 1), ())
    return Bounded(x, tuple(extents))


@pytest.fixture(autouse=True)
def leading_box_is_an_op(monkeypatch: pytest.MonkeyPatch) -> None:
    """For these tests only: the table of ops is also that of the reference pages."""
    monkeypatch.setitem(registry._TABLE, (DOMAIN, "LeadingBox"), {1: leading_box})


@dataclass
class Case:
    """One node. `inputs`: buffers; `sizes[i]`: axis -> valid size of input i; the others are constants of the model."""

    op: str
    inputs: Sequence[Any]
    sizes: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 18
    outputs: int = 1

    def __str__(self) -> str:
        return f"{self.op}-{'-'.join(str(np.shape(x)) for x in self.inputs)}-{dict(self.attributes)}"


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def filled(array: np.ndarray, sizes: Mapping[int, int]) -> np.ndarray:
    """The array with garbage outside of the box."""
    garbage = np.full_like(array, np.nan if array.dtype.kind == "f" else 99 if array.dtype.kind == "i" else True)
    box = tuple(slice(sizes.get(axis)) for axis in range(array.ndim))
    garbage[box] = array[box]
    return garbage


def node_of(case: Case) -> onnx.NodeProto:
    names = [f"x{i}" for i in range(len(case.inputs))]
    return helper.make_node(case.op, names, [f"y{i}" for i in range(case.outputs)], **case.attributes)


def expected(case: Case) -> list[np.ndarray]:
    feeds = {
        f"x{i}": x[tuple(slice(case.sizes.get(i, {}).get(axis)) for axis in range(x.ndim))]
        for i, x in enumerate(case.inputs)
    }
    opset = [helper.make_opsetid("", case.opset)]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=f"y{i}") for i in range(case.outputs)]
    graph = helper.make_graph([node_of(case)], "case", infos, outputs)
    return list(ReferenceEvaluator(helper.make_model(graph, opset_imports=opset)).run(None, feeds))


def found(case: Case) -> list[np.ndarray]:
    """Through the importer and the graph interpreter; bounded outputs are cut to the sizes that the graph computes."""
    nodes, infos, initializers = [], [], []
    feeds: dict[str, np.ndarray] = {}
    for i, x in enumerate(case.inputs):
        kind = helper.np_dtype_to_tensor_dtype(x.dtype)
        if i not in case.sizes:
            initializers.append(onnx.numpy_helper.from_array(x, f"x{i}"))
            continue
        feeds[f"raw{i}"] = filled(x, case.sizes[i])
        feeds[f"size{i}"] = ints(*case.sizes[i].values())
        infos.append(helper.make_tensor_value_info(f"raw{i}", kind, x.shape))
        infos.append(helper.make_tensor_value_info(f"size{i}", onnx.TensorProto.INT64, [len(case.sizes[i])]))
        box = helper.make_node(
            "LeadingBox", [f"raw{i}", f"size{i}"], [f"x{i}"], domain=DOMAIN, axes=list(case.sizes[i])
        )
        nodes.append(box)
    made = [onnx.ValueInfoProto(name=f"y{i}") for i in range(case.outputs)]
    graph = helper.make_graph([*nodes, node_of(case)], "case", infos, made, initializers)
    opsets = [helper.make_opsetid("", case.opset), helper.make_opsetid(DOMAIN, 1)]
    work = GraphImport(load_model(helper.make_model(graph, opset_imports=opsets)), ConstantStore())
    work.run(None, None)
    assert not work.unsupported and not work.malformed, [str(e) for e in (*work.unsupported, *work.malformed)]
    outputs = [work.scope[f"y{i}"] for i in range(case.outputs)]
    values: list[SSAValue] = []
    for output in outputs:
        parts = (output.value, *output.extents) if isinstance(output, Bounded) else (output,)
        values += [
            part if isinstance(part, SSAValue) else work.build.constant(np.asarray(part), "known") for part in parts
        ]
    work.block.add_op(func.ReturnOp(*values))
    types = FunctionType.from_lists([a.type for a in work.block.args], [v.type for v in values])
    module = ModuleOp([func.FuncOp("main", types, Region(work.block))])
    results = iter(run_graph(module, list(feeds.values()), work.build.constants))
    cut: list[np.ndarray] = []
    for output in outputs:
        buffer = next(results)
        if isinstance(output, Bounded):
            buffer = buffer[tuple(slice(int(next(results))) for _ in output.extents)]
        cut.append(buffer)
    return cut


X = floats(5, 7, 4)
INDEX_TABLE = floats(6, 3)
CASES = [
    Case("Relu", [X], {0: {1: 3}}),
    Case("Cast", [X], {0: {0: 2}}, {"to": onnx.TensorProto.INT32}),
    Case("Add", [X, floats(1, 4)], {0: {1: 3}}),
    Case("Mul", [X, floats(5, 1, 1)], {0: {1: 0}}),
    Case("Where", [X > 0, floats(4), np.float32(2.0)[()].reshape(())], {0: {1: 5}}),
    Case("Clip", [X, np.float32(0).reshape(()), np.float32(1).reshape(())], {0: {0: 4, 1: 2}}),
    *[
        Case(op, [np.abs(X) + 1, ints(1)], {0: {1: 3}}, {"keepdims": keep})
        for op in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean", "ReduceL1", "ReduceL2")
        for keep in (0, 1)
    ],
    Case("ReduceSumSquare", [X, ints(0, 1)], {0: {1: 3, 0: 2}}),
    Case("ReduceLogSum", [np.abs(X), ints(1)], {0: {1: 3}}),
    Case("ReduceLogSumExp", [X, ints(1)], {0: {1: 3}}),
    Case("ReduceSum", [X, ints(2)], {0: {1: 3}}),
    Case("ReduceSum", [X], {0: {1: 3}}),
    *[Case(op, [X], {0: {1: 3}}, {"noop_with_empty_axes": 1}) for op in ("ReduceSum", "ReduceMax", "ReduceMean")],
    Case("ReduceMax", [(X * 9).astype(np.int64), ints(1)], {0: {1: 3}}),
    Case("ArgMax", [X], {0: {1: 3}}, {"axis": 1}),
    Case("ArgMin", [X], {0: {1: 3}}, {"axis": 1, "keepdims": 0}),
    Case("ArgMin", [X], {0: {0: 3}}, {"axis": 2, "select_last_index": 1}),
    Case("Softmax", [X], {0: {1: 3}}, {"axis": 1}),
    Case("Softmax", [X], {0: {1: 3}}, {"axis": -1}),
    Case("LogSoftmax", [X], {0: {2: 3}}, {"axis": 2}),
    Case("CumSum", [X, np.array(1, np.int64)], {0: {1: 3}}, {"reverse": 1}),
    Case("LayerNormalization", [X, floats(4)], {0: {1: 3}}, {"axis": -1}),
    Case("MatMul", [X, floats(4, 3)], {0: {1: 3}}),
    Case("MatMul", [floats(5, 7), floats(7, 3)], {0: {0: 2}}),
    Case("MatMul", [floats(5, 7), floats(7)], {0: {0: 2}}),
    Case("MatMul", [floats(7), floats(7, 3)], {1: {1: 2}}),
    Case("Gemm", [floats(5, 7), floats(3, 7), floats(3)], {0: {0: 2}}, {"transB": 1}),
    Case("Conv", [floats(4, 3, 6, 6), floats(2, 3, 3, 3)], {0: {0: 2}}),
    Case("MaxPool", [floats(4, 3, 6, 6)], {0: {0: 2}}, {"kernel_shape": [2, 2]}),
    Case("Shape", [X], {0: {1: 3}}),
    Case("Shape", [X], {0: {1: 3}}, {"start": -2}),
    Case("Size", [X], {0: {1: 3, 0: 2}}),
    Case("Transpose", [X], {0: {1: 3}}, {"perm": [2, 1, 0]}),
    Case("Unsqueeze", [X, ints(0, 2)], {0: {1: 3}}),
    Case("Squeeze", [floats(5, 1, 4), ints(1)], {0: {0: 3}}),
    Case("Flatten", [X], {0: {0: 3}}),
    Case("Reshape", [X, ints(-1)], {0: {0: 3}}),
    Case("Reshape", [X, ints(-1, 28)], {0: {0: 3}}),
    Case("Reshape", [X, ints(-1, 14)], {0: {0: 3}}),
    Case("Reshape", [X, ints(5, -1, 2, 2)], {0: {1: 3}}),
    Case("Reshape", [X, ints(0, 0, 2, 2)], {0: {1: 3}}),
    Case("Reshape", [floats(6, 4), ints(-1, 2, 4)], {0: {0: 4}}),
    Case("Concat", [X, floats(5, 2, 4)], {0: {1: 3}}, {"axis": 1}),
    Case("Concat", [floats(5, 2, 4), X, floats(5, 3, 4)], {1: {1: 0}, 2: {1: 2}}, {"axis": 1}),
    Case("Slice", [X, ints(1), ints(6), ints(1)], {0: {1: 3}}),
    Case("Slice", [X, ints(4), ints(9), ints(1)], {0: {1: 3}}),
    Case("Slice", [X, ints(-3), ints(9), ints(2)], {0: {1: 3}}),
    Case("Split", [X, ints(1, 3)], {0: {1: 3}}, {"axis": 2}, outputs=2),
    Case("Gather", [INDEX_TABLE, ints(0, 2, 5, 1)], {1: {0: 3}}),
    Case("Gather", [floats(6, 3), ints(0, -1, -2)], {0: {0: 4}}),
    Case("Gather", [floats(6, 3), np.array(-1, np.int64)], {0: {0: 4}}),
    Case("GatherND", [X, ints(0, 1, 4, 6, 2, 3).reshape(3, 2)], {1: {0: 2}}),
    Case("GatherElements", [floats(6, 3), ints(0, 1, 2, 3, 4, 5).reshape(2, 3)], {1: {0: 1}}, {"axis": 0}),
    Case("TopK", [X, ints(2)], {0: {1: 3}}, {"axis": 1}, outputs=2),
    Case("TopK", [np.full((4, 6), -np.inf, np.float32), ints(2)], {0: {1: 3}}, outputs=2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_box_of_the_result(case: Case) -> None:
    """The leading box of the result is what the op gives on the leading boxes of its inputs."""
    for got, want in zip(found(case), expected(case), strict=True):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_growing_matrix_products() -> None:
    """Both operands of a product share the inner size that depends on data."""
    inner = helper.make_node("MatMul", ["x", "t"], ["y"])
    graph = helper.make_graph(
        [
            helper.make_node("LeadingBox", ["raw", "size"], ["x"], domain=DOMAIN, axes=[1]),
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
            inner,
        ],
        "gram",
        [
            helper.make_tensor_value_info("raw", onnx.TensorProto.FLOAT, [3, 8]),
            helper.make_tensor_value_info("size", onnx.TensorProto.INT64, [1]),
        ],
        [onnx.ValueInfoProto(name="y")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    work = GraphImport(load_model(helper.make_model(graph, opset_imports=opsets)), ConstantStore())
    work.run(None, None)
    y = work.scope["y"]
    assert isinstance(y, SSAValue)
    work.block.add_op(func.ReturnOp(y))
    types = FunctionType.from_lists([a.type for a in work.block.args], [y.type])
    module = ModuleOp([func.FuncOp("main", types, Region(work.block))])
    x = floats(3, 8)
    (got,) = run_graph(module, [filled(x, {1: 5}), ints(5)], work.build.constants)
    np.testing.assert_allclose(got, x[:, :5] @ x[:, :5].T, rtol=1e-5)
