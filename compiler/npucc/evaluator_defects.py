"""Nodes that the evaluator of onnx (`onnx.reference`, 1.23) computes otherwise than the standard says.

Whatever takes its results - evaluation of constants at import, the arbitration between the NPU and onnxruntime, the
judge of random models - asks here first.
"""

from __future__ import annotations

from onnx import NodeProto


def evaluator_is_wrong(node: NodeProto) -> bool:
    """Whether the evaluator gets the node wrong.

    LRN counts images where it means channels: with fewer images than channels the last channels stay as they are. Loop
    takes a condition that is left out as false. ConvTranspose adds the biases of the first group to every group. The
    1-norm of LpNormalization is a sum without magnitudes. QLinearMatMul rounds behind the zero point, not before it.
    Hardmax does not join axes before opset 13.
    """
    numbers = {attribute.name: attribute.i for attribute in node.attribute}
    return (
        node.op_type in ("LRN", "QLinearMatMul", "Hardmax")
        or (node.op_type == "Loop" and not node.input[1])
        or (node.op_type == "ConvTranspose" and numbers.get("group", 1) > 1 and len(node.input) > 2)
        or (node.op_type == "LpNormalization" and numbers.get("p", 2) == 1)
    )
