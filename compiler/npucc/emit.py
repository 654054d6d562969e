"""npu dialect -> `npuisa.program.Program`: a walk that numbers symbols and lays loops out as instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from npuisa.descriptor import Descriptor
from npuisa.descriptor_encoding import check_descriptor
from npuisa.errors import NpuError
from npuisa.instructions import Engine, Instruction, Operand, SHalt, SLoop
from npuisa.kernel import Kernel
from npuisa.program import DebugEntry, Increment, LoopSpec, Port, Program, Region, RegionKind
from npuisa.validate import MAX_INSTRUCTIONS, MAX_TABLE
from xdsl.dialects.builtin import ArrayAttr, IntAttr, ModuleOp, StringAttr, SymbolRefAttr
from xdsl.ir import Attribute, Block, Operation

from npucc.constants import ConstantStore
from npucc.dialects.npu import (
    DescOp,
    InstructionOp,
    KernelOp,
    LabelOp,
    LoopOp,
    OriginOp,
    PortOp,
    ProgramOp,
    RegionOp,
    SemOp,
    walk_code,
)
from npucc.dialects.npu_ops.attributes import OperandAttr, OperandRef, symbol_names
from npucc.dialects.npu_ops.instruction import field_specs
from npucc.passes.npu.faults import CONSTANT_BYTES, NO_PROGRAM, TABLE_FULL


def emit_program(module: ModuleOp, constants: ConstantStore) -> Program:
    """The program in `module` (one `npu.program`), verified before.

    Constants are views of the arrays in `constants`, not copies (unless an array is not contiguous).
    """
    source = program_op(module)
    tables = Tables.of(source)
    emitter = _Emitter(tables)
    emitter.block(source.body.block)
    _require_room(("loops", len(emitter.loops), MAX_TABLE))
    metadata = {} if source.metadata is None else source.metadata.data
    return Program(
        target=source.target.data,
        instructions=emitter.instructions,
        descriptors=tables.descriptors,
        kernels=tables.kernels,
        loops=emitter.loops,
        semaphores=[op.initial.data for op in tables.semaphores],
        semaphore_names=[op.sym_name.data for op in tables.semaphores],
        regions=tables.regions,
        inputs=tables.ports["input"],
        outputs=tables.ports["output"],
        constants={
            region.name: _constant_bytes(region, constants)
            for region in tables.regions
            if region.kind is RegionKind.CONSTANT
        },
        debug=emitter.debug if tables.origins else [],
        metadata={key: value.data for key, value in metadata.items() if isinstance(value, StringAttr)},
    )


def _require_room(*tables: tuple[str, int, int]) -> None:
    """NpuError when one of the tables (name, entries, limit) is too long for the fields that index it."""
    for what, size, limit in tables:
        if size > limit:
            remedy = "split the model into several programs"
            raise NpuError(TABLE_FULL, f"at most {limit} {what}", found=str(size), remedy=remedy)


def program_op(module: ModuleOp) -> ProgramOp:
    """The only `npu.program` of `module`; NpuError if there is none or several."""
    found = [op for op in module.body.block.ops if isinstance(op, ProgramOp)]
    if len(found) != 1:
        remedy = "run convert-tile-to-npu first"
        raise NpuError(NO_PROGRAM, "the module must hold one npu.program", found=str(len(found)), remedy=remedy)
    return found[0]


@dataclass
class Tables:
    """Declarations of a program, numbered in the order of the text."""

    descriptors: list[Descriptor] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    semaphores: list[SemOp] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    ports: dict[str, list[Port]] = field(default_factory=lambda: {"input": [], "output": []})
    origins: dict[str, OriginOp] = field(default_factory=dict)
    index: dict[str, int] = field(default_factory=dict)
    """Number of each descriptor, kernel, semaphore; instruction index of each label."""

    @staticmethod
    def of(program: ProgramOp) -> Tables:
        """The tables of `program`; NpuError when one of them is too long for its index field."""
        tables = Tables()
        address = 0
        for op in walk_code(program.body.block):
            if isinstance(op, InstructionOp | LoopOp):
                address += 1
            elif isinstance(op, LabelOp):
                tables.index[op.sym_name.data] = address
            else:
                tables._declare(op)
        _require_room(
            ("descriptors", len(tables.descriptors), MAX_TABLE),
            ("kernels", len(tables.kernels), MAX_TABLE),
            ("instructions", address, MAX_INSTRUCTIONS),
        )
        return tables

    def _declare(self, op: Operation) -> None:
        if isinstance(op, DescOp):
            self.index[op.sym_name.data] = len(self.descriptors)
            check_descriptor(op.value)
            self.descriptors.append(op.value)
        elif isinstance(op, KernelOp):
            self.index[op.sym_name.data] = len(self.kernels)
            self.kernels.append(op.value)
        elif isinstance(op, SemOp):
            self.index[op.sym_name.data] = len(self.semaphores)
            self.semaphores.append(op)
        elif isinstance(op, RegionOp):
            self.regions.append(op.value)
        elif isinstance(op, PortOp):
            self.ports[op.direction.data].append(op.value)
        elif isinstance(op, OriginOp):
            self.origins[op.sym_name.data] = op


@dataclass
class _Emitter:
    """Appends the instructions of blocks in program order."""

    tables: Tables
    instructions: list[Instruction] = field(default_factory=list)
    debug: list[DebugEntry] = field(default_factory=list)
    loops: list[LoopSpec] = field(default_factory=list)
    _steps: dict[tuple[Increment, ...], int] = field(default_factory=dict)
    _operands: dict[OperandRef, Operand] = field(default_factory=dict)
    _origins: dict[tuple[str, str], DebugEntry] = field(default_factory=dict)

    def block(self, block: Block) -> None:
        """All operations of a program or loop body."""
        for op in block.ops:
            if isinstance(op, InstructionOp):
                self.debug.append(self._origin(op.origin, op.tile_op, op.ISA.mnemonic))
                self.instructions.append(self._instruction(op))
            elif isinstance(op, LoopOp):
                self._loop(op)

    def _loop(self, op: LoopOp) -> None:
        position = len(self.instructions)
        self.instructions.append(SHalt())  # holds the place until the end of the body is known
        self.debug.append(self._origin(op.origin, None, SLoop.mnemonic))
        step = self._step(op.step.data)
        self.block(op.body.block)
        self.instructions[position] = SLoop(count=op.count.data, end=len(self.instructions), step=step)

    def _step(self, increments: tuple[Increment, ...]) -> int:
        if increments not in self._steps:
            self._steps[increments] = len(self.loops)
            self.loops.append(LoopSpec(increments))
        return self._steps[increments]

    def _instruction(self, op: InstructionOp) -> Instruction:
        properties, isa = op.properties, op.ISA
        values: dict[str, Any] = {}
        for name, spec in field_specs(isa):
            attribute = properties.get(name)
            if attribute is not None:
                values[name] = self._value(attribute, spec.enum)
        if "waits" in properties:
            values["waits"] = self._semaphores(op.waits)
        if "posts" in properties:
            values["posts"] = self._semaphores(op.posts)
        unit = properties.get("unit")
        if isinstance(unit, StringAttr):
            values["unit"] = Engine[unit.data.upper()]
        return isa(**values)

    def _value(self, attribute: Attribute, enum: Any) -> Any:
        if isinstance(attribute, OperandAttr):
            return self._operand(attribute.data)
        if isinstance(attribute, IntAttr):
            return attribute.data
        if isinstance(attribute, StringAttr):
            return enum[attribute.data.upper()]
        assert isinstance(attribute, SymbolRefAttr)
        return self.tables.index[attribute.root_reference.data]

    def _operand(self, operand: OperandRef) -> Operand:
        found = self._operands.get(operand)
        if found is None:
            found = self._operands[operand] = Operand(self.tables.index[operand.desc], operand.reg)
        return found

    def _semaphores(self, names: ArrayAttr[SymbolRefAttr] | None) -> tuple[int, ...]:
        return tuple(self.tables.index[name] for name in symbol_names(names))

    def _origin(self, origin: SymbolRefAttr | None, tile_op: StringAttr | None, mnemonic: str) -> DebugEntry:
        symbol = "" if origin is None else origin.root_reference.data
        text = mnemonic if tile_op is None else tile_op.data
        entry = self._origins.get((symbol, text))
        if entry is None:
            entry = self._origins[symbol, text] = _debug_entry(self.tables.origins, symbol, text)
        return entry


def _debug_entry(origins: Mapping[str, OriginOp], symbol: str, text: str) -> DebugEntry:
    """Instructions outside of every group (such as the final s.halt) have group -1."""
    if symbol not in origins:
        return DebugEntry(-1, "", text, ())
    origin = origins[symbol]
    return DebugEntry(origin.group.data, origin.title.data, text, tuple(node.data for node in origin.nodes))


def _constant_bytes(region: Region, constants: ConstantStore) -> npt.NDArray[np.uint8]:
    if region.name not in constants:
        remedy = "give the constants that belong to this module"
        raise NpuError(CONSTANT_BYTES, "no such constant", f"npu.region @{region.name}", "nothing", remedy)
    array = np.ascontiguousarray(constants[region.name]).reshape(-1).view(np.uint8)
    if array.size != region.size:
        where, found = f"npu.region @{region.name}", f"{array.size} bytes, region {region.size}"
        raise NpuError(CONSTANT_BYTES, "size differs from its region", where, found, "rebuild the program")
    return array
