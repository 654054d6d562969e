"""com.microsoft: DynamicQuantizeLSTM."""

from __future__ import annotations

from xdsl.ir import SSAValue

from npucc.frontend.activations import Activation
from npucc.frontend.compose import call_all
from npucc.frontend.integer_products import integer_matmul
from npucc.frontend.node import ImportNode
from npucc.frontend.ops.contrib_activation import MICROSOFT
from npucc.frontend.ops.contrib_products import as_row
from npucc.frontend.ops.recurrent import Recurrence, lstm_cell, part, peepholes_of, recur
from npucc.frontend.problems import Malformed
from npucc.frontend.registry import onnx_op
from npucc.types import element_type, shape_of

F32 = element_type("f32")


@onnx_op("DynamicQuantizeLSTM", domain=MICROSOFT)
def dynamic_quantize_lstm(node: ImportNode) -> list[SSAValue]:
    """An LSTM with weights of bytes: the input of all steps is quantized to u8 at once, the state in every step.

    Inputs as those of LSTM, with W [dirs, features, 4 h] and R [dirs, h, 4 h]; then W_scale, W_zero_point, R_scale,
    R_zero_point, each [dirs] or [dirs, 4 h].
    """
    return recur(node, 4, lstm_cell, ["Sigmoid", "Tanh", "Tanh"], 2, _direction)


def _direction(
    node: ImportNode, x: SSAValue, direction: int, gates: int, hidden: int, functions: list[Activation]
) -> Recurrence:
    """Weights of one direction, and the input products of all steps."""
    build, width = node.build, gates * hidden
    w, r = part(node, 1, direction), part(node, 2, direction)
    steps, batch, features = shape_of(x)
    if w is None or r is None or shape_of(w) != (features, width) or shape_of(r) != (hidden, width):
        raise Malformed(f"weights have {gates} gates of hidden_size columns", f"{node.shape(1)} and {node.shape(2)}")
    rows = build.reshape(x, (steps * batch, features))
    inputs = _product(node, rows, w, part(node, 8, direction), part(node, 9, direction))
    bias = part(node, 3, direction)
    if bias is not None:
        halves = (build.slice_axis(bias, 0, start, width) for start in (0, width))
        inputs = build.add(inputs, build.add(*halves))
    inputs = build.reshape(inputs, (steps, batch, width))
    scale, zero = part(node, 10, direction), part(node, 11, direction)

    def recurrent(h: SSAValue) -> SSAValue:
        return _product(node, h, r, scale, zero)

    return Recurrence(node, hidden, inputs, r, None, peepholes_of(node, direction, hidden), functions, recurrent)


def _product(
    node: ImportNode, x: SSAValue, weights: SSAValue, scale: SSAValue | None, zero: SSAValue | None
) -> SSAValue:
    """x, quantized to u8 over its range, times weights of bytes; in f32."""
    build, factor = node.build, as_row(node.build, scale)
    if factor is None:
        raise Malformed("the weights have a scale", "none")
    stored, step, point = call_all(node, "DynamicQuantizeLinear", [x])
    total = integer_matmul(build, stored, weights, point, as_row(build, zero))
    return build.mul(build.cast(total, F32), build.mul(step, factor))
