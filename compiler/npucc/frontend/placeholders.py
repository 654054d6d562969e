"""What stands for a value that this program does not compute, and for outputs of nodes that cannot be imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TypeProto, helper
from xdsl.dialects.builtin import UnrealizedConversionCastOp
from xdsl.ir import Block, SSAValue

from npucc.frontend.node import ByStep, Output, Value
from npucc.frontend.type_inference import infer_types
from npucc.types import element_of_numpy, tensor


@dataclass(frozen=True)
class Unknown:
    """A value whose shape is not known either: nodes that read it are only looked up, not checked."""


@dataclass(frozen=True)
class Later:
    """The output of a node that runs after this program: so do the nodes that read it. `node`: its label."""

    node: str


@dataclass(frozen=True)
class HostValue:
    """A value that is no tensor of numbers. `kind`: strings, a sequence, an optional."""

    kind: str


ScopeValue = Output | ByStep | Unknown | Later | HostValue | None
"""None: an optional input of a function that the call leaves out."""
Scope = dict[str, ScopeValue]
"""By ONNX name."""


def placeholders(
    node: NodeProto, scope: Mapping[str, ScopeValue], opsets: Mapping[str, int], block: Block
) -> Sequence[Value | Unknown]:
    """One value per output: of the type that ONNX's shape inference gives, or Unknown."""
    known = {name: scope[name] for name in node.input if name}
    values = {name: value for name, value in known.items() if isinstance(value, SSAValue | np.ndarray)}
    domain = "" if node.domain == "ai.onnx" else node.domain
    inferred = infer_types(node, values, domain, opsets) or {}
    return [_placeholder(inferred.get(name), block) for name in node.output]


def _placeholder(type_: TypeProto | None, block: Block) -> SSAValue | Unknown:
    if type_ is None or not type_.tensor_type.HasField("shape"):
        return Unknown()
    dims = type_.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in dims):
        return Unknown()
    try:
        element = element_of_numpy(helper.tensor_dtype_to_np_dtype(type_.tensor_type.elem_type))
    except KeyError:
        return Unknown()
    result = tensor([dim.dim_value for dim in dims], element)
    cast = UnrealizedConversionCastOp(operands=[[]], result_types=[[result]])
    block.add_op(cast)
    return cast.results[0]
