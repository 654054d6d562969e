"""DRAM layout of a program: one region per input, output and constant, and one for scratch.

Regions begin at multiples of 64 bytes, in the order inputs, outputs, constants, scratch. The addresses of DRAM
buffers (`tile.alloc`) count from the start of the scratch region.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from npuisa.alignment import align
from npuisa.errors import NpuError
from npuisa.program import Port, Region, RegionKind
from npuisa.target import Target
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.ir import SSAValue

from npucc.dialects import tile
from npucc.passes.npu.descriptors import Names
from npucc.passes.npu.faults import DRAM_FULL, NO_PROGRAM, NOT_PLANNED

SCRATCH = "scratch"


@dataclass
class Layout:
    """Regions, ports, and the byte address of every buffer that is not a pool's slot."""

    regions: list[Region] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    address: dict[SSAValue, int] = field(default_factory=dict)
    label: dict[SSAValue, str] = field(default_factory=dict)
    """Name of the buffer, from which descriptors are named."""
    _end: int = 0

    def add(self, name: str, kind: RegionKind, size: int) -> int:
        """A new region; its base."""
        base = align(self._end)
        self.regions.append(Region(name, kind, base, size))
        self._end = base + size
        return base

    @property
    def bytes(self) -> int:
        """DRAM that the program occupies."""
        return self._end


def main_function(module: ModuleOp) -> func.FuncOp:
    """`func.func @main` of a tile module; NpuError when it is missing."""
    for op in module.body.block.ops:
        if isinstance(op, func.FuncOp) and op.sym_name.data == "main" and op.body.blocks:
            return op
    remedy = "give a module in the tile dialect (after convert-graph-to-tile)"
    raise NpuError(NO_PROGRAM, "the module has no func.func @main", remedy=remedy)


def lay_out(function: func.FuncOp, names: Names, target: Target) -> Layout:
    """Addresses of the buffers of `function`; names of constants' regions are their symbols."""
    layout = Layout()
    constants = [op for op in function.body.walk() if isinstance(op, tile.ConstantOp)]
    names.taken.update(op.symbol.data for op in constants)
    _lay_out_ports(layout, function, names)
    _lay_out_constants(layout, constants)
    _lay_out_buffers(layout, [op for op in function.body.walk() if isinstance(op, tile.AllocOp)], names)
    if layout.bytes > target.dram.bytes:
        found = f"{layout.bytes} bytes, {target.name} has {target.dram.bytes}"
        raise NpuError(
            DRAM_FULL, "the program does not fit the target's DRAM", "dram.bytes", found, "use a larger target"
        )
    return layout


def _lay_out_ports(layout: Layout, function: func.FuncOp, names: Names) -> None:
    inputs, outputs = _names_of(function, "npucc.inputs"), _names_of(function, "npucc.outputs")
    arguments = function.body.block.args
    if len(arguments) != len(inputs) + len(outputs):
        found = f"{len(arguments)} arguments for {len(inputs)} inputs and {len(outputs)} outputs"
        remedy = "list their names in the attributes npucc.inputs and npucc.outputs of the function"
        raise NpuError(NO_PROGRAM, "arguments are the inputs, then the outputs", "func.func @main", found, remedy)
    for position, (name, argument) in enumerate(zip(inputs + outputs, arguments)):
        is_input = position < len(inputs)
        type_ = tile.memref_of(argument)
        kind = RegionKind.INPUT if is_input else RegionKind.OUTPUT
        base = layout.add(names.unique(name), kind, tile.memref_bytes(type_))
        port = Port(name, tile.machine_dtype(type_.element_type), type_.get_shape(), base)
        (layout.inputs if is_input else layout.outputs).append(port)
        layout.address[argument], layout.label[argument] = base, name


def _names_of(function: func.FuncOp, attribute: str) -> list[str]:
    found = function.attributes.get(attribute)
    if not isinstance(found, ArrayAttr):
        return []
    return [item.data for item in found.data if isinstance(item, StringAttr)]


def _lay_out_constants(layout: Layout, constants: list[tile.ConstantOp]) -> None:
    bases: dict[str, int] = {}
    for op in constants:
        symbol = op.symbol.data
        if symbol not in bases:
            size = tile.memref_bytes(tile.memref_of(op.result))
            bases[symbol] = layout.add(symbol, RegionKind.CONSTANT, size)
        layout.address[op.result], layout.label[op.result] = bases[symbol], symbol


def _lay_out_buffers(layout: Layout, buffers: list[tile.AllocOp], names: Names) -> None:
    ends: list[int] = []
    scratch: list[tile.AllocOp] = []
    for op in buffers:
        type_, label = tile.memref_of(op.result), op.label.data
        layout.label[op.result] = label
        layout.address[op.result] = planned_address(op.address, f'tile.alloc "{label}"')
        if tile.space_of(type_) is tile.MemorySpace.DRAM:
            ends.append(layout.address[op.result] + tile.memref_bytes(type_))
            scratch.append(op)
    if scratch:
        base = layout.add(names.unique(SCRATCH), RegionKind.SCRATCH, max(ends))
        for op in scratch:
            layout.address[op.result] += base


def planned_address(address: object, where: str) -> int:
    """The value of an address attribute; NpuError when the plan has not set it."""
    value = getattr(getattr(address, "value", None), "data", None)
    if not isinstance(value, int):
        raise NpuError(NOT_PLANNED, "the buffer has no address", where, "none", "run tile-plan-memory first")
    return value
