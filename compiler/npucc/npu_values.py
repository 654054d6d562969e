"""Values of npu dialect IR: the semantics of the simulator, driven by the IR instead of the emitted program.

Beside `npusim.functional` this is a second way to run a program; where they differ, the emitter or the sequencer is
wrong (see `npucc.interpreters.npu`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from npuisa.descriptor import Descriptor
from npuisa.program import Program
from npuisa.target import Target
from npusim.memory import Memory
from npusim.scalar_memory import ElementMemory
from npusim.semantics import SEMANTICS, Context
from npusim.sequence import StaticInstruction
from npusim.views import OperandBinder
from xdsl.dialects.builtin import ModuleOp

from npucc.constants import ConstantStore
from npucc.dialects.npu import InstructionOp
from npucc.dialects.npu_ops.instruction import field_specs
from npucc.emit import emit_program, program_op
from npucc.interpreters.npu import Executed, execute
from npucc.types import Array


def run_npu(
    module: ModuleOp, inputs: dict[str, Array], constants: ConstantStore, target: Target | None = None
) -> dict[str, Array]:
    """Run the module's program on `inputs` by port name; the outputs by name.

    Semaphores are not looked at: the functional simulator checks them. NpuError as from the simulator.
    """
    program = emit_program(module, constants)
    memory = Memory(program, target or Target.load(program.target))
    memory.reset()
    for port in program.inputs:
        memory.write_input(port, inputs[port.name])
    machine = _Values(program, memory)
    with np.errstate(all="ignore"):
        for executed in execute(program_op(module), machine):
            machine.run(executed)
    return {port.name: memory.port(port).copy() for port in program.outputs}


class _Prepared(NamedTuple):
    """An operation with the descriptors it had when it was prepared."""

    descriptors: dict[str, Descriptor]
    binder: OperandBinder
    run: Callable[..., None]


@dataclass
class _Values:
    """Semantics of the simulator, prepared per operation."""

    program: Program
    memory: Memory
    _prepared: dict[InstructionOp, _Prepared] = field(default_factory=dict)
    _context: Context = field(init=False)
    _elements: ElementMemory = field(init=False)

    def __post_init__(self) -> None:
        self._context = Context(self.program)
        self._elements = ElementMemory(self.program, self.memory, lambda low, high: None)

    def run(self, executed: Executed) -> None:
        """Execute one instruction on the memory."""
        known = self._prepared.get(executed.op)
        if known is None or known.descriptors != executed.descriptors:
            static = self._static(executed)
            prepared = SEMANTICS[executed.op.ISA](static, self._context)
            binder = OperandBinder(self.program, self.memory, static, prepared.views)
            known = self._prepared[executed.op] = _Prepared(executed.descriptors, binder, prepared.run)
        names = [name for name, spec in field_specs(executed.op.ISA) if spec.kind == "operand"]
        offsets = tuple(executed.offsets.get(name, 0) for name in names)
        known.run(executed.accumulate, *known.binder.arrays(offsets))

    def load(self, access: Executed) -> int:
        """An element for the sequencer."""
        return self._elements.load(self._static(access), tuple(access.offsets.values()))

    def store(self, access: Executed, value: int) -> None:
        """An element from the sequencer."""
        self._elements.store(self._static(access), tuple(access.offsets.values()), value)

    def _static(self, executed: Executed) -> StaticInstruction:
        op = executed.op
        used = {name: operand for name, _, operand in op.operands_used()}
        operands = [(name, spec) for name, spec in field_specs(op.ISA) if spec.kind == "operand"]
        return StaticInstruction(
            len(self._prepared),
            op.ISA(**self._plain_fields(op)),
            op.engine,
            tuple(name for name, _ in operands),
            tuple(executed.descriptors.get(name) for name, _ in operands),
            tuple(used[name].reg if name in used else 0 for name, _ in operands),
            tuple(spec.access for _, spec in operands),
        )

    def _plain_fields(self, op: InstructionOp) -> dict[str, Any]:
        """Fields that semantics read from the instruction; operands are in the static instruction."""
        kernels = {kernel.name: number for number, kernel in enumerate(self.program.kernels)}
        fields: dict[str, Any] = {}
        for name, spec in field_specs(op.ISA):
            value = op.field(name)
            if value is not None:
                fields[name] = kernels[value] if spec.kind == "kernel" else value
        return fields
