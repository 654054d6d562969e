"""Complex tensors as pairs of float tensors: `x` becomes `x.real` and `x.imag`, before anything else sees the model.

ONNX has complex elements in operators that move, select or sum them only. Such an operator is linear, so it becomes
two nodes, one for each part. Where its result is about the tensor's shape alone, the real part stands for the tensor.
Of the rest (Unique, products in a scatter) NonZero means something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from npuisa.errors import NpuError
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from npucc.frontend.problems import UNSUPPORTED_NODES, one_error
from npucc.frontend.tensors import tensor_to_array

PARTS = ("real", "imag")
COMPLEX: dict[int, int] = {TensorProto.COMPLEX64: TensorProto.FLOAT, TensorProto.COMPLEX128: TensorProto.DOUBLE}

_FIRST = (
    "Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Tile", "Slice", "Split", "Gather",
    "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth", "ReverseSequence", "Compress", "Trilu",
    "CenterCropPad", "Resize", "Upsample", "GridSample", "Col2Im",
)  # fmt: skip
OPERANDS: dict[str, tuple[int, ...] | None] = {
    **{op: (0,) for op in _FIRST},
    "Concat": None,
    "Scatter": (0, 2),
    "ScatterElements": (0, 2),
    "ScatterND": (0, 2),
    "TensorScatter": (0, 1),
    "Where": (1, 2),
    "Pad": (0, 2),
    "OneHot": (2,),
}
"""Operator -> which of its inputs may be complex (None: all of them)."""
OF_SHAPES = ("Shape", "Size")


def part(name: str, which: str) -> str:
    """The name of the real or imaginary part of a tensor."""
    return f"{name}.{which}"


def without_complex(model: onnx.ModelProto, nodes: Sequence[NodeProto], folder: Path | None) -> onnx.ModelProto:
    """The model with parts for complex tensors; the model itself if it has none. `nodes` in topological order.

    NPU-E0510 naming every node that computes with complex numbers, or has a body that uses them.
    """
    graph = model.graph
    found = {value.name for value in graph.input if _element(value) in COMPLEX}
    found |= {tensor.name for tensor in graph.initializer if tensor.data_type in COMPLEX}
    if not found and not any(_complex_value(node) for node in nodes):
        return model
    problems: list[NpuError] = []
    made: list[NodeProto] = []
    for node in nodes:
        made += _nodes_for(node, found, problems)
    if problems:
        raise one_error(UNSUPPORTED_NODES, "complex numbers are moved, not computed with", "", problems)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for field in ("node", "input", "output", "initializer", "value_info"):
        copy.graph.ClearField(field)
    copy.graph.node.extend(made)
    copy.graph.input.extend(_infos(graph.input, found))
    copy.graph.output.extend(_infos(graph.output, found))
    copy.graph.initializer.extend(_tensors(graph.initializer, folder))
    copy.graph.value_info.extend(value for value in graph.value_info if value.name not in found)
    return copy


def _element(value: onnx.ValueInfoProto) -> int:
    return value.type.tensor_type.elem_type


def _complex_value(node: NodeProto) -> AttributeProto | None:
    """The attribute of a Constant that holds a complex tensor."""
    values = (a for a in node.attribute if a.type == AttributeProto.TENSOR and a.t.data_type in COMPLEX)
    return next(values, None) if node.op_type == "Constant" else None


def _nodes_for(node: NodeProto, found: set[str], problems: list[NpuError]) -> Iterator[NodeProto]:
    """What stands for a node; names of complex results are added to `found`."""
    value = _complex_value(node)
    if value is not None:
        found.update(node.output)
        array = numpy_helper.to_array(value.t)
        for which in PARTS:
            tensor = numpy_helper.from_array(np.array(getattr(array, which)))
            yield helper.make_node("Constant", [], [part(node.output[0], which)], value=tensor)
        return
    used = [index for index, name in enumerate(node.input) if name in found]
    if not used and not _body_uses(node, found):
        yield node
    elif node.op_type in OF_SHAPES:
        yield _for_part(node, PARTS[0], found, ())
    elif node.op_type == "NonZero":
        yield from _nonzero(node)
    elif not _is_linear(node, used):
        rule = "complex numbers are moved, not computed with"
        problems.append(
            NpuError(
                UNSUPPORTED_NODES, f"not supported, since this must hold: {rule}", found=node.op_type,
                where=f"node `{node.name or node.output[0]}`", remedy="give real and imaginary parts as two tensors",
            )
        )  # fmt: skip
        found.update(node.output)
    else:
        found.update(node.output)
        for which in PARTS:
            yield _for_part(node, which, found, node.output)


def _nonzero(node: NodeProto) -> Iterator[NodeProto]:
    """A complex number is not 0 where one of its parts is not."""
    name = node.input[0]
    marks = [part(f"{name}.nonzero", which) for which in PARTS]
    for which, mark in zip(PARTS, marks):
        yield helper.make_node("Cast", [part(name, which)], [mark], to=TensorProto.BOOL)
    yield helper.make_node("Or", marks, [f"{name}.nonzero"])
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[0] = f"{name}.nonzero"
    yield copy


def _is_linear(node: NodeProto, used: Sequence[int]) -> bool:
    """Whether the node may be computed on both parts one after the other."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in OPERANDS:
        return False
    legal = OPERANDS[node.op_type]
    reduction = next((a.s for a in node.attribute if a.name == "reduction"), b"none")
    return (legal is None or set(used) <= set(legal)) and reduction in (b"none", b"add")


def _for_part(node: NodeProto, which: str, found: set[str], outputs: Sequence[str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [part(name, which) if name in found else name for name in node.input]
    copy.output[:] = [part(name, which) if name and name in outputs else name for name in node.output]
    copy.name = part(node.name, which) if node.name and outputs else node.name
    return copy


def _body_uses(node: NodeProto, found: set[str]) -> bool:
    """Whether a body reads a complex tensor from outside or has one of its own."""
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
            values = [*graph.input, *graph.output, *graph.value_info]
            if any(_element(value) in COMPLEX for value in values):
                return True
            if any(tensor.data_type in COMPLEX for tensor in graph.initializer):
                return True
            if any(value.name in found for value in graph.output):
                return True
            for inner in graph.node:
                if _complex_value(inner) or found.intersection(inner.input) or _body_uses(inner, found):
                    return True
    return False


def _infos(values: Sequence[onnx.ValueInfoProto], found: set[str]) -> Iterator[onnx.ValueInfoProto]:
    for value in values:
        if value.name not in found:
            yield value
            continue
        for which in PARTS:
            copy = onnx.ValueInfoProto()
            copy.CopyFrom(value)
            copy.name = part(value.name, which)
            declared = copy.type.tensor_type
            if declared.elem_type in COMPLEX:
                declared.elem_type = COMPLEX[declared.elem_type]
            yield copy


def _tensors(tensors: Sequence[TensorProto], folder: Path | None) -> Iterator[TensorProto]:
    for tensor in tensors:
        if tensor.data_type not in COMPLEX:
            yield tensor
            continue
        array = tensor_to_array(tensor, folder)
        for which in PARTS:
            yield numpy_helper.from_array(np.array(getattr(array, which)), part(tensor.name, which))


def split_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Complex arrays as their parts; everything else as it is."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, np.ndarray | np.generic) and np.asarray(value).dtype.kind == "c":
            result |= {part(name, which): np.array(getattr(np.asarray(value), which)) for which in PARTS}
        else:
            result[name] = value
    return result


def joined_names(names: Sequence[str]) -> list[str]:
    """Names of whole tensors: `x` for the neighbours `x.real` and `x.imag`."""
    return list(dict.fromkeys(_whole(name, names) for name in names))


def joined_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parts put together again; everything else as it is."""
    result: dict[str, Any] = {}
    for name in joined_names(list(values)):
        if name in values:
            result[name] = values[name]
        else:
            real, imag = (np.asarray(values[part(name, which)]) for which in PARTS)
            result[name] = np.asarray(real + imag * np.asarray(1j, np.result_type(real.dtype, np.complex64)))
    return result


def _whole(name: str, names: Sequence[str]) -> str:
    stem, _, which = name.rpartition(".")
    both = which in PARTS and all(part(stem, each) in names for each in PARTS)
    return stem if both and stem not in names else name
