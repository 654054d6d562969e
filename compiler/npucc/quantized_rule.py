"""Is the output of a quantized model right? At most one step, on nearly all elements; if need be, step by step.

A value that lies half-way between two quantization steps goes up or down by the last bit of a float, and deep models
amplify such a step: two runs of onnxruntime itself, with and without its optimizations, differ by several per cent of
full scale. So an output passes in two ways: it is close to onnxruntime's; or every quantized tensor on the way is,
each computed by onnxruntime from the quantized tensors that the NPU has computed, and the output as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from npucc.comparison import Tolerance, compare, scale
from npucc.element_conversion import is_integer
from npucc.reference import run_reference
from npucc.results import Array, TensorResult
from npucc.run_results import flattened
from npucc.values import Concrete

QUANTIZING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
"""Ops that round to steps of a scale, as nodes of their own."""
QUANTIZED = ("QLinear", "QGemm", "QAttention", "DynamicQuantize", "ConvInteger", "MatMulInteger")
"""How the names of ops begin that compute on quantized tensors."""
ENOUGH = 0.999
"""Share of the elements that are at most one step off."""
FULL_SCALE = 0.01
"""Of max |ref|: closer than that, all elements of a float output count as right."""

Run = Callable[[onnx.ModelProto], Mapping[str, Array]]
"""Outputs of a model on the NPU, for the inputs of the validation."""


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a node of the main graph quantizes, or computes on quantized tensors."""
    return any(node.op_type in QUANTIZING or node.op_type.startswith(QUANTIZED) for node in model.graph.node)


def rule_text() -> str:
    """The rule in one line."""
    return f"quantized: one step on {ENOUGH:.1%} of the elements, or {FULL_SCALE:.0%} of full scale, or step by step"


def close_in_steps(actual: Array, reference: Array) -> bool:
    """Integers: at most one step on 99.9% of the elements. Floats: within 1% of full scale."""
    if actual.shape != reference.shape or actual.dtype != reference.dtype:
        return False
    x, ref = actual.astype(np.float64), reference.astype(np.float64)
    if is_integer(reference.dtype):
        return bool(np.mean(np.abs(x - ref) <= 1) >= ENOUGH) if ref.size else True
    finite = np.isfinite(ref)
    with np.errstate(invalid="ignore"):
        same = np.where(finite, np.abs(x - ref) <= FULL_SCALE * scale(ref), (x == ref) | (np.isnan(x) & np.isnan(ref)))
    return bool(same.all())


def judge_quantized(
    model: onnx.ModelProto,
    inputs: Mapping[str, Concrete],
    compared: list[TensorResult],
    outputs: Mapping[str, Array],
    reference: Mapping[str, Array],
    run: Run,
    tolerance: Tolerance,
) -> None:
    """Decide anew on the outputs of a quantized model that break the tolerance; `compared` is changed."""
    both = outputs.keys() & reference.keys()
    failed = [result for result in compared if result.passed is False and result.name in both]
    for result in failed:
        if close_in_steps(outputs[result.name], reference[result.name]):
            result.passed, result.quantized = True, "close"
    left = {result.name: result for result in failed if not result.passed}
    if left:
        for name in right_by_steps(model, inputs, outputs, run, tolerance) & left.keys():
            left[name].passed, left[name].quantized = True, "step by step"


def right_by_steps(
    model: onnx.ModelProto, inputs: Mapping[str, Concrete], outputs: Mapping[str, Array], run: Run, tolerance: Tolerance
) -> set[str]:
    """Outputs that onnxruntime computes, too, from the quantized tensors of the NPU; none if one of those is wrong."""
    taps = quantized_tensors(model)
    if not taps:
        return set()
    watched = run(_with_outputs(model, taps))
    expected = flattened(run_reference(_cut(model, taps), {**inputs, **{_given(name): watched[name] for name in taps}}))
    for name in taps:
        if not close_in_steps(watched[name], expected[name]):
            return set()
    same = [name for name in outputs if np.array_equal(outputs[name], watched[name], equal_nan=True)]
    return {
        name
        for name in same
        if close_in_steps(watched[name], expected[name])
        or compare(name, watched[name], expected[name], tolerance).passed
    }


def quantized_tensors(model: onnx.ModelProto) -> list[str]:
    """What nodes of the main graph quantize: tensors, and the scales and zero points found at run time."""
    return [name for node in model.graph.node if node.op_type in QUANTIZING for name in node.output if name]


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of the model that also outputs the tensors `names`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return copy


def _given(name: str) -> str:
    return f"{name}.given"


def _cut(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with `names` as outputs, in which every reader of them reads an input instead."""
    copy = _with_outputs(model, names)
    cut = set(names)
    types = {name: _element_type(model, name) for name in names}
    for node in copy.graph.node:
        for index, name in enumerate(node.input):
            if name in cut:
                node.input[index] = _given(name)
    copy.graph.input.extend(
        onnx.helper.make_tensor_value_info(_given(name), element, None) for name, element in types.items()
    )
    return copy


def _element_type(model: onnx.ModelProto, name: str) -> int:
    """The element type of an output of a quantizing node."""
    node = next(node for node in model.graph.node if name in node.output)
    if node.op_type == "DynamicQuantizeLinear":
        return onnx.TensorProto.FLOAT if name == node.output[1] else onnx.TensorProto.UINT8
    zero = node.input[2] if len(node.input) > 2 else ""
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for other in model.graph.node:
        if other.op_type == "Constant" and other.output[0] == zero:
            stored[zero] = other.attribute[0].t.data_type
    asked = next((attribute.i for attribute in node.attribute if attribute.name == "output_dtype"), 0)
    return stored.get(zero) or asked or onnx.TensorProto.UINT8
