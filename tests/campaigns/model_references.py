"""What a random model should give: onnx.reference, onnxruntime and, where these disagree, both in f64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from model_graph import FLOATS, Array
from npucc.evaluator_defects import evaluator_is_wrong
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime_process import OnnxRuntimeProcess

ONNXRUNTIME = OnnxRuntimeProcess()

TOLERANCE = {"float32": (1e-3, 1e-4), "float64": (1e-6, 1e-8), "float16": (2e-2, 5e-3), "bfloat16": (1e-1, 2e-2)}
"""By type: of |ref|, and of max |ref|. A kernel rounds once where the references round at every node."""


@dataclass(frozen=True)
class Reference:
    """The outputs of one implementation; `name` says which."""

    name: str
    outputs: list[Array]


def references(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Reference]:
    """What each of the two implementations gives that can run the model."""
    found: list[Reference] = []
    defective = any(evaluator_is_wrong(node) for node in model.graph.node)
    for name, run in (("onnx.reference", run_reference), ("onnxruntime", run_onnxruntime)):
        if defective and run is run_reference:
            continue
        try:
            with np.errstate(all="ignore"):
                found.append(Reference(name, run(model, inputs)))
        except Exception:  # not implemented there, or a defect of it
            continue
    return found


def run_reference(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    """Outputs by ONNX's own evaluator."""
    return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, dict(inputs))]


def run_onnxruntime(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    """Outputs by onnxruntime, in a process of its own."""
    if any(value.dtype == ml_dtypes.bfloat16 for value in inputs.values()):
        raise NotImplementedError("bfloat16 in and out of onnxruntime")
    return [np.asarray(value) for value in ONNXRUNTIME.run(model.SerializeToString(), inputs)]


def in_f64(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array] | None:
    """The outputs with every float of the model in f64; None where the evaluator cannot."""
    try:
        with np.errstate(all="ignore"):
            return run_reference(widened(model), {name: _wide(value) for name, value in inputs.items()})
    except Exception:
        return None


def _wide(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.name in FLOATS else value


_NARROW = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with f64 in the place of every other float: inputs, initializers, casts."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _widen(copy.graph)
    return copy


def _widen(graph: onnx.GraphProto) -> None:
    for info in (*graph.input, *graph.output):
        if info.type.tensor_type.elem_type in _NARROW:
            info.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        if tensor.data_type in _NARROW:
            tensor.CopyFrom(numpy_helper.from_array(_wide(numpy_helper.to_array(tensor)), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _widen(attribute.g)
            elif attribute.name in ("to", "dtype") and attribute.i in _NARROW:
                attribute.i = TensorProto.DOUBLE


def close(actual: Any, wanted: Array) -> bool:
    """Whether one output is right: type and shape are equal, floats within tolerance, all else exactly."""
    actual = np.asarray(actual)
    if actual.dtype != wanted.dtype or actual.shape != wanted.shape:
        return False
    if wanted.dtype.name not in FLOATS:
        return bool(np.array_equal(actual, wanted))
    return within(actual.astype(np.float64), wanted.astype(np.float64), *TOLERANCE[wanted.dtype.name])


def within(actual: Array, wanted: Array, rtol: float, atol: float, slack: Array | float = 0.0) -> bool:
    """|actual - wanted| <= rtol |wanted| + atol max |wanted| + slack; infinities and NaN in the same places."""
    finite = np.isfinite(wanted)
    scale = np.abs(wanted[finite]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        error = np.abs(actual - wanted)
        fine = error <= rtol * np.abs(wanted) + atol * scale + slack
    same = (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
    return bool(np.all(np.where(finite, fine, same)))


def type_name(info: onnx.ValueInfoProto) -> str:
    """NumPy name of an output's type."""
    return helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type).name
