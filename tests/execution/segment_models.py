"""Models in ONNX's text form, executed in segments and compared with onnx.reference and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort
from npucc.execution import Execution, ExecutionResult
from onnx.reference import ReferenceEvaluator

Values = Mapping[str, Any]


def model_of(text: str, *functions: str) -> onnx.ModelProto:
    """A model from ONNX's text form, opset 21."""
    head = '<ir_version: 8, opset_import: ["" : 21, "local" : 1]>\n'
    model = onnx.parser.parse_model(head + text)
    for function in functions:
        model.functions.append(onnx.parser.parse_function(function))
    return model


def same(actual: Any, expected: Any, name: str) -> None:
    """Structure, shapes and types are equal; floats within 1e-5."""
    if isinstance(expected, list | tuple):
        assert isinstance(actual, list) and len(actual) == len(expected), name
        for index, (one, other) in enumerate(zip(actual, expected)):
            same(one, other, f"{name}[{index}]")
        return
    if expected is None:
        assert actual is None, name
        return
    array = np.asarray(expected)
    if array.dtype.kind in "OU":
        assert actual.tolist() == array.tolist(), name
        return
    assert actual.dtype == array.dtype and actual.shape == array.shape, (name, actual.dtype, actual.shape, array.shape)
    np.testing.assert_allclose(actual, array, rtol=1e-5, atol=1e-6, err_msg=name)


def agree(
    model: onnx.ModelProto, *inputs: Values, with_onnxruntime: bool = True, with_reference: bool = True
) -> ExecutionResult:
    """Execute for each set of inputs with one `Execution`; onnx.reference and onnxruntime say the same.

    The result is that of the last set.
    """
    onnx.checker.check_model(model, full_check=False)
    execution = Execution(model)
    reference = ReferenceEvaluator(model) if with_reference else None
    session = ort.InferenceSession(model.SerializeToString()) if with_onnxruntime else None
    result: ExecutionResult | None = None
    for values in inputs:
        result = execution.run(values, cycles=True)
        for judge in (reference, session):
            wanted = cast("list[Any]", judge.run(None, dict(values))) if judge is not None else []
            for name, expected in zip(result.outputs, wanted):
                same(result.outputs[name], expected, name)
    assert result is not None
    return result
