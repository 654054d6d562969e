"""When the NPU and onnxruntime differ: is it onnxruntime that is inexact?

onnxruntime's fast kernels trade accuracy in places: its logistic function has an absolute error of about 1e-7, which is
far outside a relative tolerance of 1e-3 where all scores are that small. So a float output that differs is judged once
more against a third party: the nodes behind the model's last contraction, computed by `onnx.reference` in f64 from
onnxruntime's own values. Neither our importer nor our simulator takes part in that reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from npucc.evaluator_defects import evaluator_is_wrong
from npucc.reference import run_reference
from npucc.results import Array

CONTRACTIONS = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "Gemm", "MatMul", "MatMulInteger"),
        *("QLinearMatMul", "Einsum", "Attention", "LSTM", "GRU", "RNN", "Loop", "Scan", "If"),
    }
)
"""Ops whose results are taken from onnxruntime: long sums, whose order legitimately differs, and control flow."""
FLOAT_OPERANDS = {"Resize": (1, 2), "Upsample": (1,)}
"""Operands that the standard keeps in f32 whatever the data type is."""


def precise_output(model: onnx.ModelProto, name: str, inputs: Mapping[str, Array]) -> npt.NDArray[np.float64] | None:
    """Output `name` with the nodes behind its last contraction evaluated in f64; None where that is not possible."""
    nodes = _tail(model, name)
    if not nodes or any(evaluator_is_wrong(node) for node in nodes):
        return None
    made = {output for node in nodes for output in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    feeds = sorted({value for node in nodes for value in node.input if value} - made - constants)
    try:
        values = run_reference(_with_outputs(model, [feed for feed in feeds if feed not in inputs]), inputs)
        evaluator = ReferenceEvaluator(_in_double(model, nodes, feeds, name))
        given = {feed: _double(inputs[feed] if feed in inputs else values[feed]) for feed in feeds}
        (result,) = evaluator.run(None, given)
    except Exception:  # the evaluator lacks ops and type combinations; then the verdict stays as it was
        return None
    return np.asarray(result, dtype=np.float64)


def _tail(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """Nodes between the last contractions and the output, in order."""
    producers = {output: node for node in model.graph.node for output in node.output}
    wanted: set[int] = set()
    todo = [name]
    while todo:
        node = producers.get(todo.pop())
        if node is not None and id(node) not in wanted and node.op_type not in CONTRACTIONS:
            wanted.add(id(node))
            todo += [value for value in node.input if value]
    return [node for node in model.graph.node if id(node) in wanted]


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy


def _in_double(model: onnx.ModelProto, nodes: list[onnx.NodeProto], feeds: list[str], name: str) -> onnx.ModelProto:
    """The nodes as a model of its own in which f32 has become f64."""
    kept = {node.input[i] for node in nodes for i in FLOAT_OPERANDS.get(node.op_type, ()) if i < len(node.input)}
    used = {value for node in nodes for value in node.input}
    constants = [
        tensor if tensor.name in kept else _double_tensor(tensor)
        for tensor in model.graph.initializer
        if tensor.name in used and tensor.name not in feeds
    ]
    graph = onnx.helper.make_graph(
        [_double_node(node, kept) for node in nodes],
        "tail",
        [onnx.ValueInfoProto(name=feed) for feed in feeds],
        [onnx.ValueInfoProto(name=name)],
        constants,
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, functions=model.functions)


def _double_node(node: onnx.NodeProto, kept: set[str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
        if attribute.type == onnx.AttributeProto.TENSOR and not kept.intersection(node.output):
            attribute.t.CopyFrom(_double_tensor(attribute.t))
    return copy


def _double_tensor(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)


def _double(array: Any) -> Any:
    return array.astype(np.float64) if array.dtype == np.float32 else array
