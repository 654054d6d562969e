"""Values of npu dialect IR: the semantics of the simulator, driven by the IR instead of the emitted program.

Beside `npusim.functional` this is a second way to run a program; where they differ, the emitter or the sequencer is
wrong (see `npucc.interpreters.npu`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from npuisa.descriptor import Descriptor
from npuisa.program import Program
from npuisa.target import Target
from npusim.memory import Memory
from npusim.semantics import SEMANTICS, Context
from npusim.sequence import StaticInstruction
from npusim.views import OperandBinder
from xdsl.dialects.builtin import ModuleOp

from npucc.constants import ConstantStore
from npucc.dialects.npu import InstructionOp
from npucc.dialects.npu_ops.instruction import field_specs
from npucc.emit import emit_program, program_op
from npucc.interpreters.npu import Executed, descriptors_of, execute
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
    machine = _Values(program, memory, descriptors_of(program_op(module)))
    with np.errstate(all="ignore"):
        for executed in execute(program_op(module)):
            machine.run(executed)
    return {port.name: memory.port(port).copy() for port in program.outputs}


@dataclass
class _Values:
    """Semantics of the simulator, prepared per operation."""

    program: Program
    memory: Memory
    descriptors: dict[str, Descriptor]
    _prepared: dict[InstructionOp, tuple[OperandBinder, Callable[..., None]]] = field(default_factory=dict)
    _context: Context = field(init=False)

    def __post_init__(self) -> None:
        self._context = Context(self.program)

    def run(self, executed: Executed) -> None:
        """Execute one instruction on the memory."""
        if executed.op not in self._prepared:
            static = self._static(executed.op)
            prepared = SEMANTICS[executed.op.ISA](static, self._context)
            binder = OperandBinder(self.program, self.memory, static, prepared.views)
            self._prepared[executed.op] = binder, prepared.run
        binder, run = self._prepared[executed.op]
        names = [name for name, spec in field_specs(executed.op.ISA) if spec.kind == "operand"]
        offsets = tuple(executed.offsets.get(name, 0) for name in names)
        run(executed.accumulate, *binder.arrays(offsets))

    def _static(self, op: InstructionOp) -> StaticInstruction:
        used = {name: operand for name, _, operand in op.operands_used()}
        operands = [(name, spec) for name, spec in field_specs(op.ISA) if spec.kind == "operand"]
        return StaticInstruction(
            len(self._prepared),
            op.ISA(**self._plain_fields(op)),
            op.engine,
            tuple(name for name, _ in operands),
            tuple(self.descriptors[used[name].desc] if name in used else None for name, _ in operands),
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
