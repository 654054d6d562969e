"""Models of a few ONNX nodes, compiled and simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from npucc.driver import compile, simulate
from npucc.options import Options
from npuisa.target import Target
from onnx import helper, numpy_helper

Array = np.ndarray


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Array], constants: Mapping[str, Array], outputs: Sequence[str]
) -> onnx.ModelProto:
    """A model at opset 18 with these nodes; the types of its outputs are inferred."""
    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    made = [onnx.ValueInfoProto(name=name) for name in outputs]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    body = helper.make_graph(list(nodes), "g", given, made, weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run_nodes(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    *,
    constants: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    precision: str = "",
) -> list[Array]:
    """The outputs on edge-4t."""
    target = Target.load("edge-4t")
    model = model_of(nodes, inputs, constants or {}, outputs)
    program = compile(model, target, Options(precision=precision), shapes={n: a.shape for n, a in inputs.items()})
    found = simulate(program, dict(inputs), target=target, cycles=False).outputs
    return [found[name] for name in outputs]
