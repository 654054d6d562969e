"""Host nodes: one node by onnx's reference evaluator, on concrete values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from onnx import NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from npucc.execution.host_additions import ADDITIONS
from npucc.frontend.graph_code import GraphCode
from npucc.values import Concrete, normalized

HOST_FAILED = error_code("NPU-E1020", ExitCode.UNSUPPORTED, "The host cannot run a node")
_LIBRARIES = {"PIL": "pillow"}
"""Modules that onnx's reference imports on demand, and the packages that hold them."""

_OPTIONALS = ("Optional", "OptionalGetElement", "OptionalHasElement")
"""Done here: an optional is its value or None (onnx's reference wraps values in lists)."""


class Host:
    """Runs nodes; evaluators are made once per node."""

    def __init__(self) -> None:
        self._evaluators: dict[tuple[GraphCode, int], ReferenceEvaluator] = {}

    def run(self, code: GraphCode, position: int, values: Mapping[str, Concrete]) -> list[Concrete]:
        """The outputs of a node, in ONNX's order. NPU-E1020 with what the evaluator says where it fails."""
        node, label = code.nodes[position], code.labels[position]
        if node.op_type in _OPTIONALS and node.domain in ("", "ai.onnx"):
            return [_optional(node, label, next(iter(values.values()), None))]
        key = code, position
        try:
            if key not in self._evaluators:
                self._evaluators[key] = self._evaluator(node, code, list(values))
            with np.errstate(all="ignore"):
                results = cast("list[Any]", self._evaluators[key].run(None, dict(values)))
        except ImportError as error:
            module = (error.name or "").split(".")[0]
            package = _LIBRARIES.get(module, module or "the package")
            raise _failed(node, label, str(error), f"install {package} (pip install {package})") from None
        except Exception as error:  # the evaluator raises whatever its NumPy code raises
            found = f"{type(error).__name__}: {error}"[:500]
            raise _failed(node, label, found, "check the node's inputs and attributes") from None
        names = [name for name in node.output if name]
        by_name = dict(zip(names, (normalized(result) for result in results)))
        return [by_name.get(name) for name in node.output]

    def _evaluator(self, node: NodeProto, code: GraphCode, names: list[str]) -> ReferenceEvaluator:
        """A graph of one node. Its types are left open: the evaluator looks at the values."""
        inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
        outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output if name]
        graph = helper.make_graph([node], "host", inputs, outputs)
        return ReferenceEvaluator(graph, opsets=dict(code.opsets), new_ops=list(ADDITIONS))


def _optional(node: NodeProto, label: str, value: Concrete) -> Concrete:
    """Optional, OptionalGetElement (NPU-E1020 for an empty one) or OptionalHasElement."""
    if node.op_type == "OptionalHasElement":
        return np.asarray(value is not None)
    if node.op_type == "OptionalGetElement" and value is None:
        raise _failed(node, label, "an empty optional", "ask OptionalHasElement before, as the model should")
    return value


def _failed(node: NodeProto, label: str, found: str, remedy: str) -> NpuError:
    where = f"node `{label}` ({node.domain or 'ai.onnx'}.{node.op_type})"
    return NpuError(HOST_FAILED, "onnx's reference evaluator, which runs host nodes, failed", where, found, remedy)
