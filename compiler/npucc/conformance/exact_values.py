"""When a result and the suite's expected one differ by rounding: which of the two is nearer to the exact value?

The expected values of 16-bit cases are computed in 16 bits step by step, and some are further from the true ones than
the tolerance. The model is evaluated once more by `onnx.reference`, in f64 from the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

FLOATS = frozenset((TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT))
NAMES = frozenset(("float16", "bfloat16", "float32"))


def is_nearer(
    model: onnx.ModelProto,
    inputs: Sequence[Any],
    actual: Sequence[Any],
    expected: Sequence[Any],
    rtol: float,
    atol: float,
) -> bool:
    """Whether each element of `actual` that disagrees lies nearer to its value in f64 than that of `expected`."""
    try:
        names = [value.name for value in model.graph.input]
        exact = ReferenceEvaluator(_in_double(model)).run(None, dict(zip(names, map(_double, inputs))))
    except Exception:  # the evaluator lacks ops and combinations of types; then there is no third opinion
        return False
    triples = ([np.asarray(value) for value in triple] for triple in zip(actual, expected, exact))
    return all(_each_is_nearer(found, wanted, value, rtol, atol) for found, wanted, value in triples)


def _each_is_nearer(actual: Any, expected: Any, exact: Any, rtol: float, atol: float) -> bool:
    if actual.shape != expected.shape or actual.dtype != expected.dtype or exact.shape != expected.shape:
        return False
    if expected.dtype.name not in NAMES:
        return bool(np.array_equal(actual, expected))
    found, wanted = _double(actual), _double(expected)
    agrees = np.isclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True)
    return bool(np.all(agrees | (np.abs(found - exact) < np.abs(wanted - exact))))


def _double(value: Any) -> Any:
    """Narrow floats as f64, all else as it is."""
    narrow = isinstance(value, np.ndarray | np.generic) and value.dtype.name in NAMES
    return value.astype(np.float64) if narrow else value


def _in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same nodes on f64: declared types, constants and casts."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info):
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in copy.graph.initializer:
        _widen(tensor)
    for attribute in (attribute for node in copy.graph.node for attribute in node.attribute):
        if attribute.type == AttributeProto.TENSOR:
            _widen(attribute.t)
        elif attribute.name in ("to", "dtype") and attribute.i in FLOATS:
            attribute.i = TensorProto.DOUBLE
    return copy


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in FLOATS:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
