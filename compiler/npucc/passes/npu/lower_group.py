"""One tile group to instructions: per loop nest first the registers that all operands need, then the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from npuisa.descriptor import Descriptor, Space
from npuisa.instructions import AccMode, AluFn
from xdsl.ir import SSAValue

from npucc.analysis.index import LinearIndex, linear_index
from npucc.dialects import tile
from npucc.dialects.npu import InstructionOp, instruction_ops
from npucc.dialects.npu_ops.instruction import FieldValue
from npucc.passes.npu.layout import planned_address
from npucc.passes.npu.limits import check_fields
from npucc.passes.npu.nest import GroupNests, Loop, Rotation
from npucc.passes.npu.nest_code import ALU_LIMIT, NestCode, Placed, software_loops
from npucc.passes.npu.operations import OperandView, form_of, short_text
from npucc.passes.npu.program_tables import ProgramTables
from npucc.passes.npu.registers import NestRegisters, RegisterUse, VirtualRegister

_NO_ROTATION = Rotation(0, {}, 0)


@dataclass
class GroupLowering:
    """One group: nest by nest, first the virtual registers of all its instructions, then the code."""

    program: ProgramTables
    nests: GroupNests
    title: str
    index: int
    nodes: tuple[str, ...]
    _scratch: VirtualRegister | None = None
    """Of the present nest: for sums of more than one term."""

    def lower(self) -> None:
        """Append the group's code to the program."""
        for item in self.nests.items:
            registers = NestRegisters()
            placed = {op: self._place(op, loop, registers) for op, loop in _instructions(item, None)}
            counters = {loop: registers.scratch() for loop in software_loops(item)}
            self._scratch = registers.scratch() if any(r.outer for r in registers.registers) else None
            where = f'group {self.index} "{self.title}"'
            numbers = self.program.registers.assign(registers.registers, where)
            load = instruction_ops()["s.li"]
            origin = self._origin(self.nodes)
            for number, value in self.program.registers.loads(numbers):
                self.program.code.append(load.make({"rd": number, "value": value}, origin=origin, tile_op="registers"))
            self._add_outer(numbers, origin)
            nest = NestCode(placed, numbers, counters, origin, self.program.names)
            self.program.code.extend(nest.emit(item))
            self.program.registers.finish(numbers)

    def _add_outer(self, numbers: Mapping[VirtualRegister, int], origin: str) -> None:
        """Registers that start at a multiple of the steps of loops around the group."""
        alu, load = instruction_ops()["s.alu"], instruction_ops()["s.li"]
        add: list[tuple[type[InstructionOp], dict[str, FieldValue]]] = []
        for register, number in numbers.items():
            target = number
            for step, coefficient in register.outer.items():
                if abs(coefficient) <= ALU_LIMIT:
                    add.append((alu, {"fn": AluFn.MUL, "rd": target, "ra": step, "value": coefficient}))
                else:
                    add.append((load, {"rd": target, "value": coefficient}))
                    add.append((alu, {"fn": AluFn.MUL, "rd": target, "ra": step, "rb": target}))
                if target != number:
                    add.append((alu, {"fn": AluFn.ADD, "rd": number, "ra": number, "rb": target}))
                target = numbers[self._scratch] if self._scratch is not None else number
        for op, fields in add:
            self.program.code.append(op.make(fields, origin=origin, tile_op="registers"))

    def _origin(self, nodes: tuple[str, ...]) -> str:
        return self.program.origin(self.index, self.title, nodes)

    def _where(self, op: tile.InstructionOp) -> str:
        nodes = ", ".join(tile.nodes_of(op) or self.nodes)
        place = f'{short_text(op)} in group {self.index} "{self.title}"'
        return f"{place}, ONNX node {nodes}" if nodes else place

    def _place(self, op: tile.InstructionOp, loop: Loop | None, registers: NestRegisters) -> Placed:
        form = form_of(op)
        scope = [] if loop is None else list(loop.enclosing())
        where = self._where(op)
        operands = [self._operand(view, scope, registers, where) for view in form.operands]
        fields, predicate = dict(form.fields), None
        if form.accumulate is not None:
            mode, predicate = self._accumulate(form.accumulate, scope, registers)
            fields |= {} if mode is AccMode.SET else {"mode": mode}
        check_fields(form.mnemonic, fields, where)
        if form.kernel is not None:
            fields["kernel"] = self.program.kernel(form.kernel, where)
        return Placed(form, op, operands, fields, predicate, self._origin(tile.nodes_of(op)))

    def _operand(
        self, operand: OperandView, scope: Sequence[Loop], registers: NestRegisters, where: str
    ) -> tuple[str, str, RegisterUse]:
        view, width = operand.view, operand.view.dtype.bytes
        base, label, rotation = self._buffer(view.root)
        offset = view.offset.scaled(width)
        steps = {counter: c for counter, c in offset.terms if counter in self.program.counters}
        inner = LinearIndex(offset.constant, tuple(term for term in offset.terms if term[0] not in steps))
        constant, linear = self._per_iteration(inner)
        outer = {self.program.counters[counter]: coefficient for counter, coefficient in steps.items()}
        use = registers.address(linear, rotation, scope, outer)
        base += constant if rotation.steps else constant + rotation.initial
        space = Space[view.space.name]
        descriptor = Descriptor(label, space, view.dtype, base, operand.dims, operand.strides, operand.fill)
        return operand.field, self.program.descriptors.symbol(descriptor, where), use

    def _buffer(self, root: SSAValue) -> tuple[int, str, Rotation]:
        """Address, name and rotation of a buffer."""
        owner = root.owner
        if isinstance(owner, tile.AcquireOp):
            pool = owner.pool_op
            address = planned_address(pool.address, f'pool "{pool.label.data}" of group "{self.title}"')
            return address, pool.label.data, self.nests.rotation(root)
        return self.program.layout.address[root], self.program.layout.label[root], _NO_ROTATION

    def _per_iteration(self, index: LinearIndex) -> tuple[int, dict[Loop, int]]:
        """A linear index as a constant and a step per hardware loop."""
        constant, linear = index.constant, dict[Loop, int]()
        for counter, coefficient in index.terms:
            if counter in self.nests.fixed:
                constant += coefficient * self.nests.fixed[counter]
                continue
            loop = self.nests.loops[counter]
            constant += coefficient * loop.bounds.lower
            linear[loop] = coefficient * loop.bounds.step
        return constant, linear

    def _accumulate(
        self, value: SSAValue, scope: Sequence[Loop], registers: NestRegisters
    ) -> tuple[AccMode, VirtualRegister | None]:
        """Overwrite where `value` is 0, else add; decided now when the value is never or always 0."""
        constant, linear = self._per_iteration(linear_index(value))
        reach = [step * (loop.bounds.count - 1) for loop, step in linear.items()]
        low, high = constant + sum(min(0, r) for r in reach), constant + sum(max(0, r) for r in reach)
        if low > 0 or high < 0:
            return AccMode.ADD, None
        if not linear:
            return AccMode.SET, None
        return AccMode.ADD_IF, registers.nonzero_test(constant, linear, scope)


def _instructions(
    item: tile.InstructionOp | Loop, loop: Loop | None
) -> Iterator[tuple[tile.InstructionOp, Loop | None]]:
    """Instructions in program order with their innermost hardware loop."""
    if isinstance(item, Loop):
        for inner in item.body:
            yield from _instructions(inner, item)
    else:
        yield item, loop
