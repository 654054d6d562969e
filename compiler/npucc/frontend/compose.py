"""Importer functions made of other ONNX ops: call one by its name as if the model held that node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from xdsl.ir import SSAValue

from npucc.frontend.node import Bounded, ImportNode, Output, Value
from npucc.frontend.registry import find_importer

OPSET = 21
"""The opset of ai.onnx whose rules for attributes and inputs hold."""


def call(node: ImportNode, op: str, *inputs: Value | None, **attributes: Any) -> SSAValue:
    """The first output of ONNX op `op` on `inputs` (None: left out), with the provenance of `node`."""
    return call_all(node, op, inputs, **attributes)[0]


def call_all(node: ImportNode, op: str, inputs: Sequence[Value | None], **attributes: Any) -> list[SSAValue]:
    """All outputs of ONNX op `op`."""
    return _run(node, helper.make_node(op, [], ["result"], name=node.label, **attributes), inputs)


def import_as(node: ImportNode, op: str, inputs: Sequence[Value | None]) -> list[SSAValue]:
    """The outputs of ONNX op `op` with the attributes of `node`: for ops that ONNX has, too."""
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.op_type = op
    return _run(node, proto, inputs)


def _run(node: ImportNode, proto: onnx.NodeProto, inputs: Sequence[Value | None]) -> list[SSAValue]:
    """The importer function of `proto`'s op, at opset `OPSET` of ai.onnx."""
    proto.domain = ""
    del proto.input[:]
    proto.input.extend("" if value is None else f"{node.label}.operand{index}" for index, value in enumerate(inputs))
    importer = find_importer("", proto.op_type, OPSET)
    if importer is None:
        raise LookupError(f"ai.onnx.{proto.op_type} has no importer function")
    found = importer(ImportNode(proto, node.label, "", OPSET, list(inputs), node.build))
    values = [found] if isinstance(found, SSAValue | np.ndarray | np.generic | Bounded) else list(found)
    return [_static(node, value) for value in values]


def _static(node: ImportNode, value: Output) -> SSAValue:
    if isinstance(value, Bounded):
        raise TypeError(f"{node.label}: an op whose shape depends on data cannot be part of another one")
    return value if isinstance(value, SSAValue) else node.build.constant(value, node.label)
