"""The end of an import: the module with its function, and what belongs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp, StringAttr
from xdsl.ir import Region, SSAValue

from npucc.bounded_outputs import BOUNDED, bounded_text
from npucc.constants import ConstantStore
from npucc.dialects import graph
from npucc.frontend.builder import GraphBuilder, Shape
from npucc.frontend.load import LoadedModel
from npucc.frontend.model_work import ModelWork
from npucc.frontend.node import Bounded
from npucc.module_metadata import add_metadata
from npucc.types import shape_of


@dataclass(frozen=True)
class ImportedModel:
    """A model in the graph dialect. `inputs` and `outputs`: ONNX names in order, with their shapes (of an output whose
    shape depends on data: the bound)."""

    module: ModuleOp
    constants: ConstantStore
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    opset: int
    name: str


def finished_module(
    loaded: LoadedModel,
    build: GraphBuilder,
    inputs: Mapping[str, Shape],
    values: Mapping[str, SSAValue | Bounded],
    work: ModelWork,
) -> ImportedModel:
    """func.func @main with the names of inputs and outputs; constants without a use are dropped.

    A bounded output is followed by the extents that the device computes, as outputs of their own.
    """
    results, extents = _results(values, build)
    block = build.block
    block.add_op(func.ReturnOp(*results.values()))
    for op in reversed(list(block.ops)):
        if isinstance(op, graph.GraphOp | graph.ControlOp) and all(result.first_use is None for result in op.results):
            op.detach()
            op.erase()
    build.constants.keep_only({op.symbol_name for op in block.walk() if isinstance(op, graph.ConstantOp)})
    types = FunctionType.from_lists([arg.type for arg in block.args], [value.type for value in results.values()])
    main = func.FuncOp("main", types, Region(block))
    main.attributes["npucc.inputs"] = ArrayAttr([StringAttr(name) for name in inputs])
    main.attributes["npucc.outputs"] = ArrayAttr([StringAttr(name) for name in results])
    module = ModuleOp([main])
    add_metadata(module, {**work.metadata(), **({BOUNDED: bounded_text(extents)} if extents else {})})
    outputs = {name: shape_of(value) for name, value in results.items()}
    return ImportedModel(module, build.constants, dict(inputs), outputs, loaded.opsets[""], loaded.name)


def _results(
    values: Mapping[str, SSAValue | Bounded], build: GraphBuilder
) -> tuple[dict[str, SSAValue], dict[str, list[str | int]]]:
    """Results of the function by name; for each bounded one the name or the number of every extent."""
    results = {name: entry.value if isinstance(entry, Bounded) else entry for name, entry in values.items()}
    extents: dict[str, list[str | int]] = {}
    names: dict[SSAValue, str] = {}
    for name, entry in values.items():
        if not isinstance(entry, Bounded):
            continue
        row: list[str | int] = []
        for axis, extent in enumerate(entry.extents):
            if isinstance(extent, int):
                row.append(extent)
                continue
            known = build.known(extent)
            if known is not None:
                row.append(int(known.reshape(-1)[0]))
                continue
            row.append(names.setdefault(extent, f"{name}.extent.{axis}"))
            results[names[extent]] = extent
        extents[name] = row
    return results, extents
