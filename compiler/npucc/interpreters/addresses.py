"""Checks that registers and descriptors give the addresses that the tile loops mean.

The tile side evaluates loop counters and counts acquires one by one; the npu side executes the program's registers.
They must agree instruction by instruction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from npuisa.errors import NpuError
from npuisa.target import Target
from xdsl.dialects import scf
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from npucc.analysis.index import linear_index, loop_bounds
from npucc.dialects import tile
from npucc.dialects.npu import ProgramOp
from npucc.interpreters.npu import execute
from npucc.passes.npu.descriptors import Names
from npucc.passes.npu.faults import NOT_INTERPRETED
from npucc.passes.npu.layout import lay_out, main_function, planned_address
from npucc.passes.npu.operations import form_of


@dataclass(frozen=True)
class Accesses:
    """One executed instruction: mnemonic, byte address of element 0 of every operand, whether it accumulates."""

    mnemonic: str
    addresses: dict[str, int]
    accumulate: bool


def address_differences(module: ModuleOp, program: ProgramOp, target: Target) -> list[str]:
    """Where `program` accesses other bytes than the tile module it was made from; empty when they agree."""
    wanted, found = list(tile_accesses(module, target)), list(program_accesses(program))
    differences = [f"step {step}: tile {a}, npu {b}" for step, (a, b) in enumerate(zip(wanted, found)) if a != b]
    if len(wanted) != len(found):
        differences.append(f"tile executes {len(wanted)} instructions, npu {len(found)}")
    return differences


def program_accesses(program: ProgramOp) -> Iterator[Accesses]:
    """What the instructions of `program` access, in program order."""
    for executed in execute(program):
        addresses = {name: view.base + executed.offsets[name] for name, view in executed.descriptors.items()}
        yield Accesses(executed.op.ISA.mnemonic, addresses, executed.accumulate)


def tile_accesses(module: ModuleOp, target: Target) -> Iterator[Accesses]:
    """What the instructions of a planned tile module access, by evaluating its loops directly."""
    function = main_function(module)
    walk = _Walk(dict(lay_out(function, Names(), target).address))
    yield from walk.block(function.body.block)


@dataclass
class _Walk:
    """Addresses of the buffers alive, values of the loop counters, acquires per pool."""

    address: dict[SSAValue, int]
    counters: dict[SSAValue, int] = field(default_factory=dict)
    acquired: dict[tile.PoolOp, int] = field(default_factory=dict)

    def block(self, block: Block) -> Iterator[Accesses]:
        """Everything a block executes."""
        for op in block.ops:
            if isinstance(op, tile.GroupOp):
                yield from self.block(op.body.block)
            elif isinstance(op, tile.AcquireOp):
                self._acquire(op)
            elif isinstance(op, scf.ForOp):
                body = op.body.block
                for value in loop_bounds(op).values():
                    self.counters[body.args[0]] = value
                    yield from self.block(body)
            elif isinstance(op, scf.WhileOp | scf.IfOp):
                remedy = "compare the values that the two levels compute"
                raise NpuError(NOT_INTERPRETED, "which way it goes depends on data", op.name, remedy=remedy)
            elif isinstance(op, tile.InstructionOp):
                yield self._instruction(op)

    def _acquire(self, op: tile.AcquireOp) -> None:
        pool = op.pool_op
        count = self.acquired.get(pool, 0)
        self.acquired[pool] = count + 1
        slot = count % pool.depth.value.data
        self.address[op.result] = planned_address(pool.address, "pool") + slot * pool.slot_bytes.value.data

    def _instruction(self, op: tile.InstructionOp) -> Accesses:
        form = form_of(op)
        addresses: dict[str, int] = {}
        for operand in form.operands:
            offset = operand.view.offset.evaluate(self.counters) * operand.view.dtype.bytes
            addresses[operand.field] = self.address[operand.view.root] + offset
        value = form.accumulate
        accumulate = value is not None and linear_index(value).evaluate(self.counters) != 0
        return Accesses(form.mnemonic, addresses, accumulate)
