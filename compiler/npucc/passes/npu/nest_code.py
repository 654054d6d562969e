"""Code of a loop nest once its registers are assigned.

The innermost levels are hardware loops, as many as the machine nests; loops around them count down in a register
and move the others with `s.alu`, which costs a few cycles for each of their (few) iterations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npuisa.instructions import LOOP_DEPTH, AluFn, BranchFn
from npuisa.program import Increment
from xdsl.ir import Block, Operation, Region

from npucc.dialects import tile
from npucc.dialects.npu import LabelOp, LoopOp, OperandRef, instruction_ops
from npucc.dialects.npu_ops.instruction import FieldValue
from npucc.passes.npu.descriptors import Names
from npucc.passes.npu.nest import Loop
from npucc.passes.npu.operations import Form, short_text
from npucc.passes.npu.registers import RegisterSum, RegisterUse, VirtualRegister

ALU_LIMIT = (1 << 31) - 1
"""Greatest immediate of `s.alu`."""


@dataclass(frozen=True)
class Placed:
    """An instruction whose registers are virtual."""

    form: Form
    op: tile.InstructionOp
    operands: list[tuple[str, str, RegisterUse]]
    """Field, descriptor symbol, register."""
    fields: dict[str, FieldValue]
    predicate: VirtualRegister | None
    origin: str


def software_loops(item: tile.InstructionOp | Loop) -> list[Loop]:
    """The loops of a nest that are too far out to be hardware loops."""
    return [loop for loop in item.subtree() if loop.height > LOOP_DEPTH] if isinstance(item, Loop) else []


@dataclass(frozen=True)
class NestCode:
    """Emits a nest: `numbers` are the machine registers, `counters` those that count software loops."""

    placed: Mapping[tile.InstructionOp, Placed]
    numbers: Mapping[VirtualRegister, int]
    counters: Mapping[Loop, VirtualRegister]
    origin: str
    names: Names

    def emit(self, item: tile.InstructionOp | Loop) -> list[Operation]:
        """The operations of an instruction or a loop."""
        if not isinstance(item, Loop):
            return self._instruction(self.placed[item])
        body = [op for inner in item.body for op in self.emit(inner)]
        moves = [register.increment(item, number) for register, number in self.numbers.items()]
        increments = sorted((move for move in moves if move is not None), key=lambda move: move.reg)
        if item in self.counters:
            return self._software_loop(item, body, increments)
        return [LoopOp(item.bounds.count, increments, Region(Block(body)), self.origin)]

    def _scalar(self, mnemonic: str, fields: Mapping[str, FieldValue], text: str) -> Operation:
        return instruction_ops()[mnemonic].make(fields, origin=self.origin, tile_op=text)

    def _alu(self, fn: AluFn, register: int, value: int) -> Operation:
        """`register = fn(register, value)`."""
        fields: dict[str, FieldValue] = {"fn": fn, "rd": register, "ra": register, "value": value}
        return self._scalar("s.alu", fields, "loop")

    def _software_loop(self, loop: Loop, body: list[Operation], increments: list[Increment]) -> list[Operation]:
        counter, label = self.numbers[self.counters[loop]], self.names.unique("loop")
        count = loop.bounds.count
        branch: dict[str, FieldValue] = {"fn": BranchFn.NE, "ra": counter, "to": label}
        return [
            self._scalar("s.li", {"rd": counter, "value": count}, "loop"),
            LabelOp(label),
            *body,
            *(op for increment in increments for op in self._move(increment)),
            self._alu(AluFn.SUB, counter, 1),
            self._scalar("s.br", branch, "loop"),
            *(op for increment in increments for op in self._return(increment, count, counter)),
        ]

    def _move(self, increment: Increment) -> list[Operation]:
        """What a hardware loop does at the end of an iteration; an offset beyond 32 bits takes several steps."""
        moves: list[Operation] = []
        left = increment.step
        while left or not moves:
            part = max(-ALU_LIMIT, min(left, ALU_LIMIT))
            moves.append(self._alu(AluFn.ADD, increment.reg, part))
            left -= part
        return moves + ([self._alu(AluFn.REM, increment.reg, increment.modulus)] if increment.modulus else [])

    def _return(self, increment: Increment, count: int, scratch: int) -> list[Operation]:
        """Undo a linear register's moves, as a hardware loop does at its end; the loop's counter is free by then."""
        if increment.modulus:
            return []
        add: dict[str, FieldValue] = {
            "fn": AluFn.ADD,
            "rd": increment.reg,
            "ra": increment.reg,
            "rb": scratch,
        }
        back: dict[str, FieldValue] = {"rd": scratch, "value": -count * increment.step}
        return [self._scalar("s.li", back, "loop"), self._scalar("s.alu", add, "loop")]

    def _instruction(self, placed: Placed) -> list[Operation]:
        made: list[Operation] = []
        fields: dict[str, FieldValue] = dict(placed.fields)
        text = short_text(placed.op)
        for name, symbol, use in placed.operands:
            register = use.total if isinstance(use, RegisterSum) else use
            if isinstance(use, RegisterSum):
                made.append(self._sum(use, text))
            fields[name] = OperandRef(symbol, 0 if register is None else self.numbers[register])
        if placed.predicate is not None:
            fields["pred"] = self.numbers[placed.predicate]
        make = instruction_ops()[placed.form.mnemonic].make
        waits, posts = placed.op.wait_names, placed.op.post_names
        op = make(fields, unit=placed.form.unit, waits=waits, posts=posts, origin=placed.origin, tile_op=text)
        return [*made, op]

    def _sum(self, use: RegisterSum, text: str) -> Operation:
        add: dict[str, FieldValue] = {
            "fn": AluFn.ADD,
            "rd": self.numbers[use.total],
            "ra": self.numbers[use.a],
            "rb": self.numbers[use.b],
        }
        return self._scalar("s.alu", add, text)
