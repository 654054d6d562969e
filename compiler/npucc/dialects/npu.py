"""The npu dialect: a program for the machine, one operation per instruction of the ISA table.

Operations: `npu.program` with its declarations (`npu.region`, `npu.port`, `npu.desc`, `npu.kernel`,
`npu.sem`, `npu.origin`, `npu.label`), `npu.loop`, and `npu.<mnemonic>` for every other instruction.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from npucc.dialects.npu_ops.attributes import KernelAttr, OperandAttr, OperandRef, StepAttr
from npucc.dialects.npu_ops.declarations import DescOp, KernelOp, LabelOp, OriginOp, PortOp, RegionOp, SemOp
from npucc.dialects.npu_ops.instruction import InstructionOp, instruction_ops
from npucc.dialects.npu_ops.structure import LoopOp, ProgramOp, walk_code

Npu = Dialect(
    "npu",
    [
        ProgramOp,
        RegionOp,
        PortOp,
        DescOp,
        KernelOp,
        SemOp,
        OriginOp,
        LabelOp,
        LoopOp,
        *instruction_ops().values(),
    ],
    [OperandAttr, StepAttr, KernelAttr],
)

__all__ = [
    "DescOp",
    "InstructionOp",
    "KernelOp",
    "LabelOp",
    "LoopOp",
    "Npu",
    "OperandRef",
    "OriginOp",
    "PortOp",
    "ProgramOp",
    "RegionOp",
    "SemOp",
    "instruction_ops",
    "walk_code",
]
