"""One node imported by itself: its outputs by the graph interpreter, those that depend on data cut to their sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from npucc.constants import ConstantStore
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import Bounded, ImportNode
from npucc.frontend.registry import find_importer
from npucc.interpreters.graph import run_graph
from npucc.types import element_of_numpy, tensor
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Region, SSAValue


def run_node(
    node: onnx.NodeProto, inputs: Sequence[np.ndarray | None], known: Sequence[int] = (), opset: int = 24
) -> list[np.ndarray]:
    """`known`: the inputs whose values the import sees."""
    given = {i: a for i, a in enumerate(inputs) if a is not None and i not in known}
    block = Block(arg_types=[tensor(a.shape, element_of_numpy(a.dtype)) for a in given.values()])
    store = ConstantStore()
    build = GraphBuilder(block, store)
    arguments = dict(zip(given, block.args))
    values = [arguments.get(i, a) for i, a in enumerate(inputs)]
    importer = find_importer("", node.op_type, opset)
    assert importer is not None
    made = importer(ImportNode(node, "the_node", "", opset, values, build))
    outputs = [made] if isinstance(made, Bounded | SSAValue | np.ndarray) else list(made)
    found = _evaluate(block, build, store, outputs, list(given.values()))
    return [_cut(output, found) for output in outputs]


def _evaluate(block, build, store, outputs, arrays):
    results = []
    for output in outputs:
        parts = [output.value, *output.extents] if isinstance(output, Bounded) else [output]
        results += [part for part in parts if isinstance(part, SSAValue)]
    results = list(dict.fromkeys(results))
    block.add_op(func.ReturnOp(*results))
    kinds = FunctionType.from_lists([a.type for a in block.args], [r.type for r in results])
    main = func.FuncOp("main", kinds, Region(block))
    main.attributes["npucc.inputs"] = ArrayAttr([StringAttr(f"x{i}") for i in range(len(arrays))])
    module = ModuleOp([main])
    module.verify()
    return dict(zip(results, run_graph(module, arrays, store)))


def _cut(output, found):
    if isinstance(output, SSAValue):
        return found[output]
    if not isinstance(output, Bounded):
        return np.asarray(output)
    sizes = [int(found[e].reshape(-1)[0]) if isinstance(e, SSAValue) else e for e in output.extents]
    value = found[output.value]
    assert len(sizes) == value.ndim and all(0 <= s <= n for s, n in zip(sizes, value.shape))
    return value[tuple(slice(0, size) for size in sizes)]
