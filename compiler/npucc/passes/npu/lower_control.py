"""The function's own control flow: groups in order, loops and branches around them as code of the sequencer.

All engines are idle at every border of a loop's or branch's region: `s.fence` where a group stands before it. What
registers hold is known inside of one region only; those that count steps or hold a loaded scalar are reserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from npuisa.descriptor import Descriptor, Space
from npuisa.errors import NpuError
from npuisa.instructions import AluFn, BranchFn
from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Block, Operation, SSAValue

from npucc.analysis.index import loop_bounds
from npucc.analysis.views import View, resolve_view
from npucc.dialects import tile
from npucc.dialects.graph_ops.base import nodes_of
from npucc.dialects.npu import LabelOp, OperandRef, instruction_ops
from npucc.dialects.npu_ops.instruction import FieldValue
from npucc.passes.npu.faults import LOWERING_FAILED, TILE_OP
from npucc.passes.npu.lower_group import GroupLowering
from npucc.passes.npu.nest import GroupNests
from npucc.passes.npu.nest_code import ALU_LIMIT
from npucc.passes.npu.program_tables import ProgramTables

ASSUMED_STEPS = 16
"""Steps of a loop that ends by a loaded condition, where a program is timed without data."""
_WHERE = "control flow"


@dataclass
class ControlLowering:
    """Code of the function's blocks, in program order."""

    tables: ProgramTables
    problems: list[NpuError] = field(default_factory=list[NpuError])
    scalars: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    """Registers of the loaded scalars."""
    idle: bool = True
    """Whether all engines are known to be idle."""

    def lower(self, block: Block) -> None:
        """The whole function; NpuError naming every group that exceeds the machine."""
        self._block(block)
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            message = f"{len(self.problems)} groups exceed the machine"
            raise NpuError(LOWERING_FAILED, message, problems=self.problems)

    def _block(self, block: Block) -> None:
        held: list[tuple[Operation, int]] = []
        for op in block.ops:
            try:
                if isinstance(op, memref.LoadOp):
                    held.append((_last_reader(op.res, block), self._load_held(op)))
                self._operation(op)
            except NpuError as error:
                self.problems.append(error)
            for last, register in [entry for entry in held if entry[0] is op]:
                self.tables.registers.release(register)
                held.remove((last, register))

    def _operation(self, op: Operation) -> None:
        match op:
            case tile.GroupOp():
                nodes = tuple(node.data for node in op.nodes)
                self._group(GroupNests.of(op.body.block), op.label.data, op.index.value.data, nodes)
            case tile.InstructionOp():
                self._group(GroupNests(items=[op]), "", -1, tile.nodes_of(op))
            case scf.ForOp():
                self._for(op)
            case scf.WhileOp():
                self._while(op)
            case scf.IfOp():
                self._if(op)
            case _:
                pass  # index arithmetic and views are evaluated where they are used

    def _group(self, nests: GroupNests, title: str, index: int, nodes: tuple[str, ...]) -> None:
        GroupLowering(self.tables, nests, title, index, nodes).lower()
        self.idle = False

    # Loops and branches

    def _for(self, op: scf.ForOp) -> None:
        bounds, nodes = loop_bounds(op), nodes_of(op)
        if bounds.count == 0:
            return
        counter = self.tables.registers.reserve(_WHERE)
        head = self._label("loop")
        self._fence(nodes)
        self._scalar("s.li", nodes, {"rd": counter, "value": bounds.lower})
        self._mark(head)
        self._body(op.body.block, counter)
        self._fence(nodes)
        self._alu(nodes, AluFn.ADD, counter, counter, value=bounds.step)
        test = self.tables.registers.reserve(_WHERE)
        self._alu(nodes, AluFn.SLT, test, counter, value=bounds.upper)
        self._branch(nodes, BranchFn.NE, head, test)
        self._release(counter, test)

    def _while(self, op: scf.WhileOp) -> None:
        """`while (i = start; condition) { body; i += step }`, as graph loops become."""
        nodes = nodes_of(op)
        before, after = op.before_region.block, op.after_region.block
        counter = self.tables.registers.reserve(_WHERE)
        head, end = self._label("loop"), self._label("end")
        self._fence(nodes)
        self._evaluate(nodes, op.arguments[0], counter, {})
        self._mark(head)
        test = self.tables.registers.reserve(_WHERE)
        condition = before.last_op
        if not isinstance(condition, scf.ConditionOp):
            raise _unknown(before.last_op)
        self._evaluate(nodes, condition.condition, test, {before.args[0]: counter}, steps=ASSUMED_STEPS)
        self._branch(nodes, BranchFn.EQ, end, test)
        self.tables.registers.release(test)
        self._body(after, counter)
        self._fence(nodes)
        last = after.last_op
        if not isinstance(last, scf.YieldOp):
            raise _unknown(last)
        self._evaluate(nodes, last.operands[0], counter, {after.args[0]: counter})
        self._branch(nodes, BranchFn.ALWAYS, head)
        self._mark(end)
        self._release(counter)

    def _body(self, block: Block, counter: int) -> None:
        self.tables.registers.forget()
        self.tables.counters[block.args[0]] = counter
        self._block(block)

    def _if(self, op: scf.IfOp) -> None:
        nodes = nodes_of(op)
        otherwise, end = self._label("else"), self._label("end")
        has_else = bool(op.false_region.blocks) and bool(op.false_region.block.ops)
        self._fence(nodes)
        self._branch(nodes, BranchFn.EQ, otherwise if has_else else end, self._register_of(op.cond))
        for place, region in enumerate((op.true_region, op.false_region)):
            if place and has_else:
                self._branch(nodes, BranchFn.ALWAYS, end)
                self._mark(otherwise)
            self.tables.registers.forget()
            if region.blocks:
                self._block(region.block)
            self._fence(nodes)
        self._mark(end)
        self.tables.registers.forget()

    def _release(self, *registers: int) -> None:
        """After a loop: its registers are free, and nothing is known of the others."""
        for register in registers:
            self.tables.registers.release(register)
        self.tables.registers.forget()

    # Scalars

    def _load_held(self, op: memref.LoadOp) -> int:
        """Load a scalar that control flow needs later into a register of its own."""
        register = self.tables.registers.reserve(_WHERE)
        self._fence(())
        self._load((), op, register)
        self.scalars[op.res] = register
        return register

    def _load(self, nodes: tuple[str, ...], op: memref.LoadOp, register: int, steps: int = 0) -> None:
        view = resolve_view(op.memref)
        layout = self.tables.layout
        counters = [self.tables.counters.get(counter) for counter, _ in view.offset.terms]
        if op.indices or None in counters or view.elements != 1 or view.root not in layout.address:
            raise _unknown(op)
        base = layout.address[view.root] + view.offset.constant * view.dtype.bytes
        made = Descriptor(layout.label[view.root], Space[view.space.name], view.dtype, base, (1,), (1,))
        symbol = self.tables.descriptors.symbol(made, _WHERE)
        # Without data: a condition holds, a trip count is `ASSUMED_STEPS`.
        assumed = 1 if view.dtype.name == "bool" else ASSUMED_STEPS
        offset = self._offset(nodes, view, register)
        fields: dict[str, FieldValue] = {"rd": register, "src": OperandRef(symbol, offset), "assume": assumed}
        self._scalar("s.ld", nodes, fields | ({"times": steps} if steps else {}))

    def _offset(self, nodes: tuple[str, ...], view: View, register: int) -> int:
        """Bytes that the loops around add to the address, computed in `register`; r0 if they add none."""
        terms = [(self.tables.counters[counter], c * view.dtype.bytes) for counter, c in view.offset.terms]
        if not terms:
            return 0
        (first, coefficient), *others = terms
        self._alu(nodes, AluFn.MUL, register, first, value=coefficient)
        for counter, coefficient in others:
            product = self.tables.registers.reserve(_WHERE)
            self._alu(nodes, AluFn.MUL, product, counter, value=coefficient)
            self._alu(nodes, AluFn.ADD, register, register, product)
            self.tables.registers.release(product)
        return register

    def _register_of(self, value: SSAValue) -> int:
        if value not in self.scalars:
            raise _unknown(value.owner if isinstance(value.owner, Operation) else None)
        return self.scalars[value]

    def _evaluate(
        self, nodes: tuple[str, ...], value: SSAValue, into: int, known: Mapping[SSAValue, int], steps: int = 0
    ) -> None:
        """Code that leaves `value` in register `into`. `known`: registers of block arguments."""
        source = known.get(value, self.scalars.get(value))
        if source is not None:
            self._alu(nodes, AluFn.ADD, into, source)
            return
        match value.owner:
            case arith.ConstantOp(value=IntegerAttr() as number):
                self._scalar("s.li", nodes, {"rd": into, "value": number.value.data})
            case arith.IndexCastOp() as op:
                self._evaluate(nodes, op.input, into, known, steps)
            case memref.LoadOp() as op:
                self._load(nodes, op, into, steps)
            case arith.CmpiOp() as op if op.predicate.value.data == _SIGNED_LESS:
                self._binary(nodes, AluFn.SLT, (op.lhs, op.rhs), into, known, steps)
            case arith.AndIOp() as op:
                self._binary(nodes, AluFn.AND, (op.lhs, op.rhs), into, known, steps)
            case arith.AddiOp() as op:
                self._binary(nodes, AluFn.ADD, (op.lhs, op.rhs), into, known, steps)
            case other:
                raise _unknown(other if isinstance(other, Operation) else None)

    def _binary(
        self,
        nodes: tuple[str, ...],
        fn: AluFn,
        operands: tuple[SSAValue, SSAValue],
        into: int,
        known: Mapping[SSAValue, int],
        steps: int,
    ) -> None:
        first, second = (_without_cast(operand) for operand in operands)
        taken: list[int] = []

        def register_of(operand: SSAValue) -> int:
            register = known.get(operand, self.scalars.get(operand))
            if register is None:
                register = self.tables.registers.reserve(_WHERE)
                taken.append(register)
                self._evaluate(nodes, operand, register, known, steps)
            return register

        ra, immediate = register_of(first), _immediate(second)
        if immediate is None:
            self._alu(nodes, fn, into, ra, register_of(second))
        else:
            self._alu(nodes, fn, into, ra, value=immediate)
        for register in taken:
            self.tables.registers.release(register)

    # Instructions

    def _scalar(self, mnemonic: str, nodes: tuple[str, ...], fields: Mapping[str, FieldValue]) -> None:
        origin = self.tables.origin(-1, "control flow", nodes)
        self.tables.code.append(instruction_ops()[mnemonic].make(fields, origin=origin, tile_op="control flow"))

    def _alu(self, nodes: tuple[str, ...], fn: AluFn, rd: int, ra: int, rb: int = 0, value: int = 0) -> None:
        self._scalar("s.alu", nodes, {"fn": fn, "rd": rd, "ra": ra, "rb": rb, "value": value})

    def _branch(self, nodes: tuple[str, ...], fn: BranchFn, to: str, ra: int = 0) -> None:
        self._scalar("s.br", nodes, {"fn": fn, "ra": ra, "to": to})

    def _fence(self, nodes: tuple[str, ...]) -> None:
        if not self.idle:
            self._scalar("s.fence", nodes, {})
        self.idle = True

    def _label(self, name: str) -> str:
        return self.tables.names.unique(name)

    def _mark(self, label: str) -> None:
        self.tables.code.append(LabelOp(label))


def _without_cast(value: SSAValue) -> SSAValue:
    """Registers have 64 bits: a cast between index and i64 is nothing."""
    return value.owner.input if isinstance(value.owner, arith.IndexCastOp) else value


def _immediate(value: SSAValue) -> int | None:
    """The value of a constant that fits an instruction."""
    match value.owner:
        case arith.ConstantOp(value=IntegerAttr() as number) if abs(number.value.data) <= ALU_LIMIT:
            return number.value.data
        case _:
            return None


_SIGNED_LESS = 2
"""Predicate `slt` of arith.cmpi."""


def _last_reader(value: SSAValue, block: Block) -> Operation:
    """The last op of `block` that needs the scalar, or contains one that does; at least the load itself."""
    order = {op: position for position, op in enumerate(block.ops)}
    wanted, last = [value], value.owner
    if not isinstance(last, Operation):
        raise TypeError("a scalar is loaded by an op")
    while wanted:
        for use in wanted.pop().uses:
            top: Operation | None = use.operation
            while top is not None and top.parent_block() is not block:
                top = top.parent_op()
            if top is not None and order[top] > order[last]:
                last = top
            wanted += use.operation.results if not use.operation.regions else ()
    return last


def _unknown(op: Operation | None) -> NpuError:
    found = "nothing" if op is None else op.name
    remedy = "use memref.load of one element, arith.constant, addi, andi, index_cast, and cmpi slt"
    return NpuError(TILE_OP, "control flow needs a scalar that the sequencer cannot compute", _WHERE, found, remedy)
