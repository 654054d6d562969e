"""`tile.map` bodies (arith and math operations on scalars) to micro-kernels of the machine.

Dead operations vanish, equal operations on equal values are one (constants stand before their first use), a
product that is only added is an `fma` (which rounds twice, so the value is the same), and a linear scan gives
the 16 vector registers. Every value is computed in its IR type: f32, f64, i32, i64, and i1 as a predicate.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from npuisa.dtypes import NARROW_FLOATS
from npuisa.errors import NpuError
from npuisa.kernel import MAX_CONSTANTS, MAX_MICRO_OPS, VECTOR_REGISTERS, Kernel, MicroOp, MicroType
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType, bf16, f16, f32, f64, i1, i32, i64
from xdsl.ir import Attribute, Block, Operation, SSAValue

from npucc.passes.npu.faults import KERNEL_LIMIT, KERNEL_OP
from npucc.types import element_type

MICRO_TYPES: dict[Attribute, MicroType] = {
    f32: MicroType.F32,
    f64: MicroType.F64,
    i32: MicroType.I32,
    i64: MicroType.I64,
    i1: MicroType.PRED,
}

DIRECT = {
    "arith.addf": "add",
    "arith.addi": "add",
    "arith.subf": "sub",
    "arith.subi": "sub",
    "arith.mulf": "mul",
    "arith.muli": "mul",
    "arith.divf": "div",
    "arith.divsi": "div",
    "tile.remf": "rem",
    "arith.remsi": "rem",
    "arith.minimumf": "min",
    "arith.minsi": "min",
    "arith.maximumf": "max",
    "arith.maxsi": "max",
    "arith.negf": "neg",
    "arith.andi": "and",
    "arith.ori": "or",
    "arith.xori": "xor",
    "arith.shli": "shl",
    "arith.shrsi": "shr",
    "arith.shrui": "shru",
    "math.powf": "pow",
    "math.ipowi": "pow",
    "math.absf": "abs",
    "math.absi": "abs",
    "math.floor": "floor",
    "math.ceil": "ceil",
    "math.roundeven": "round",
    "math.sqrt": "sqrt",
    "math.exp": "exp",
    "math.log": "log",
    "math.expm1": "expm1",
    "math.log1p": "log1p",
    "math.tanh": "tanh",
    "math.erf": "erf",
    "math.sin": "sin",
    "math.cos": "cos",
}
"""Operations whose result has the type of their operands -> micro-operation."""

CONVERSIONS = frozenset(
    f"arith.{name}" for name in ("extf", "truncf", "fptosi", "sitofp", "uitofp", "extsi", "extui", "trunci")
)
SHORT_FLOATS: dict[Attribute, str] = {
    f16: "cvt_f16",
    bf16: "cvt_bf16",
    **{element_type(dtype.name): f"cvt_{dtype}" for dtype in NARROW_FLOATS},
}
"""Types that a float is only rounded to: the micro-operation's result is an f32 again."""
_FROM_PREDICATE = frozenset({"arith.uitofp", "arith.extui"})
"""Unsigned conversions: right for predicates (0 or 1), which are the only unsigned scalars of a kernel."""

FLOAT_COMPARISONS = {
    "oeq": ("eq", False),
    "une": ("ne", False),
    "olt": ("lt", False),
    "ole": ("le", False),
    "ogt": ("lt", True),
    "oge": ("le", True),
}
"""arith.cmpf predicate -> micro-operation and whether its sources are swapped."""
SIGNED_COMPARISONS = {
    "eq": ("eq", False),
    "ne": ("ne", False),
    "slt": ("lt", False),
    "sle": ("le", False),
    "sgt": ("lt", True),
    "sge": ("le", True),
}
PREDICATE_COMPARISONS = {
    "eq": ("eq", False),
    "ne": ("ne", False),
    "ult": ("lt", False),
    "ule": ("le", False),
    "ugt": ("lt", True),
    "uge": ("le", True),
}
"""arith.cmpi on i1: false < true, which is the unsigned order."""

_FLOAT_NAMES = (
    "false",
    "oeq",
    "ogt",
    "oge",
    "olt",
    "ole",
    "one",
    "ord",
    "ueq",
    "ugt",
    "uge",
    "ult",
    "ule",
    "une",
)
_INTEGER_NAMES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")


@dataclass(frozen=True)
class _Step:
    """A micro-operation before registers are assigned: values are numbered, `constant` only for `const`."""

    opcode: str
    type: MicroType
    result: int
    sources: tuple[int, ...] = ()
    constant: float | int | None = None


def lower_kernel(name: str, block: Block, where: str) -> Kernel:
    """The kernel that computes `block`'s yielded value from its arguments.

    Raises NpuError for an operation without counterpart and when a limit of the machine is exceeded; `where`
    names the tile operation in the message.
    """
    selection = _Selection(where)
    yielded = selection.select(block)
    steps = _without_dead(selection.steps, yielded)
    sources = tuple(_micro_type(argument, where) for argument in block.args)
    fused = _with_multiply_add(steps, yielded)
    if len(fused) > MAX_MICRO_OPS:
        raise _limit(where, f"{len(fused)} micro-operations", MAX_MICRO_OPS)
    try:
        ops, constants, result = _assign_registers(fused, len(sources), yielded, where)
    except NpuError:
        if len(steps) > MAX_MICRO_OPS:
            raise
        # An fma keeps the factors alive until the sum: where that is too much, keep the product instead.
        ops, constants, result = _assign_registers(steps, len(sources), yielded, where)
    return Kernel(name, sources, tuple(ops), constants, result)


def _limit(where: str, found: str, limit: int) -> NpuError:
    remedy = "fuse fewer element-wise operations into this group (graph pass `fuse-groups`)"
    return NpuError(KERNEL_LIMIT, f"at most {limit} fit", where, found, remedy)


def _micro_type(value: SSAValue, where: str) -> MicroType:
    found = MICRO_TYPES.get(value.type)
    if found is None:
        legal = ", ".join(str(kind) for kind in MICRO_TYPES)
        raise NpuError(KERNEL_OP, "a scalar has a type kernels do not compute in", where, str(value.type), legal)
    return found


@dataclass
class _Selection:
    """Instruction selection: one step per operation, values numbered from the sources on."""

    where: str
    steps: list[_Step] = field(default_factory=list)
    numbers: dict[SSAValue, int] = field(default_factory=dict)
    constants: dict[tuple[MicroType, bytes | int], int] = field(default_factory=dict)
    known: dict[tuple[str, MicroType, tuple[int, ...]], int] = field(default_factory=dict)
    count: int = 0

    def select(self, block: Block) -> int:
        """Fill `steps`; the number of the yielded value."""
        for argument in block.args:
            self.numbers[argument] = self._new()
        for op in block.ops:
            if op.name == "tile.yield":
                return self._number(op.operands[0])
            if not isinstance(op, arith.ConstantOp):
                self.numbers[op.results[0]] = self._select_op(op)
        raise self._unsupported(block.last_op, "the kernel does not end with tile.yield")

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def _emit(self, opcode: str, kind: MicroType, *sources: int) -> int:
        key = (opcode, kind, sources)
        if key not in self.known:
            self.known[key] = self._new()
            self.steps.append(_Step(opcode, kind, self.known[key], sources))
        return self.known[key]

    def _number(self, value: SSAValue) -> int:
        if isinstance(value.owner, arith.ConstantOp):
            return self._constant(value.owner)
        return self.numbers[value]

    def _constant(self, op: arith.ConstantOp) -> int:
        kind = _micro_type(op.result, self.where)
        value = _constant_value(op, kind)
        key = (kind, struct.pack("<d", value) if isinstance(value, float) else value)
        if key not in self.constants:
            result = self.constants[key] = self._new()
            self.steps.append(_Step("const", kind, result, (), value))
        return self.constants[key]

    def _select_op(self, op: Operation) -> int:
        sources = [self._number(value) for value in op.operands]
        if isinstance(op, arith.ExtFOp) and op.input.type in SHORT_FLOATS and op.result.type == f32:
            return sources[0]
        kind = _micro_type(op.operands[0], self.where)
        if isinstance(op, arith.TruncFOp) and op.result.type in SHORT_FLOATS:
            return self._emit(SHORT_FLOATS[op.result.type], kind, sources[0])
        if op.name in DIRECT:
            return self._emit(DIRECT[op.name], kind, *sources)
        if isinstance(op, arith.SelectOp):
            return self._emit("select", _micro_type(op.result, self.where), *sources)
        if isinstance(op, arith.CmpfOp | arith.CmpiOp):
            opcode, swapped = self._comparison(op, kind)
            a, b = reversed(sources) if swapped else sources
            return self._compare(opcode, kind, a, b)
        if op.name in CONVERSIONS:
            return self._conversion(op, kind, sources[0])
        raise self._unsupported(op, "no micro-operation for this operation")

    def _compare(self, opcode: str, kind: MicroType, a: int, b: int) -> int:
        """a `opcode` b; predicates have no order on the machine: a < b is (a ^ b) & b, a <= b is (a | b) == b."""
        if kind is MicroType.PRED and opcode == "lt":
            return self._emit("and", kind, self._emit("xor", kind, a, b), b)
        if kind is MicroType.PRED and opcode == "le":
            return self._emit("eq", kind, self._emit("or", kind, a, b), b)
        return self._emit(opcode, kind, a, b)

    def _comparison(self, op: arith.CmpfOp | arith.CmpiOp, kind: MicroType) -> tuple[str, bool]:
        number = op.predicate.value.data
        if isinstance(op, arith.CmpfOp):
            names, table = _FLOAT_NAMES, FLOAT_COMPARISONS
        else:
            names = _INTEGER_NAMES
            table = PREDICATE_COMPARISONS if kind is MicroType.PRED else SIGNED_COMPARISONS
        name = names[number] if number < len(names) else str(number)
        if name not in table:
            raise self._unsupported(op, f"comparison {name} of {kind.name.lower()} has no micro-operation")
        return table[name]

    def _conversion(self, op: Operation, kind: MicroType, source: int) -> int:
        target = _micro_type(op.results[0], self.where)
        if target is MicroType.PRED or (op.name in _FROM_PREDICATE) != (kind is MicroType.PRED):
            raise self._unsupported(op, f"conversion from {kind.name.lower()} has no micro-operation")
        return self._emit(f"cvt_{target.name.lower()}", kind, source)

    def _unsupported(self, op: Operation | None, message: str) -> NpuError:
        found = "nothing" if op is None else str(op)
        return NpuError(KERNEL_OP, message, self.where, found, "express it with other arith or math operations")


def _constant_value(op: arith.ConstantOp, kind: MicroType) -> float | int:
    attribute = op.value
    if isinstance(attribute, FloatAttr):
        value = attribute.value.data
        return math.nan if math.isnan(value) else value
    assert isinstance(attribute, IntegerAttr) and isinstance(attribute.type, IntegerType)
    return int(attribute.value.data != 0) if kind is MicroType.PRED else attribute.value.data


def _without_dead(steps: Sequence[_Step], yielded: int) -> list[_Step]:
    needed, kept = {yielded}, list[_Step]()
    for step in reversed(steps):
        if step.result in needed:
            needed.update(step.sources)
            kept.append(step)
    return kept[::-1]


def _with_multiply_add(steps: Sequence[_Step], yielded: int) -> list[_Step]:
    """Products whose only use is a sum of their type, joined with it."""
    uses = Counter([yielded, *(value for step in steps for value in step.sources)])
    products = {step.result: step for step in steps if step.opcode == "mul" and uses[step.result] == 1}
    fused: list[_Step] = []
    gone: set[int] = set()
    for step in steps:
        product = next((value for value in step.sources if value in products), None)
        if step.opcode == "add" and product is not None:
            (other,) = (value for value in step.sources if value != product)
            step = replace(step, opcode="fma", sources=(*products.pop(product).sources, other))
            gone.add(product)
        fused.append(step)
    return [step for step in fused if step.result not in gone]


def _assign_registers(
    steps: Sequence[_Step], sources: int, yielded: int, where: str
) -> tuple[list[MicroOp], tuple[float | int, ...], int]:
    last_use = {yielded: len(steps)}
    for position, step in enumerate(steps):
        for value in step.sources:
            last_use[value] = max(position, last_use.get(value, -1))
    register = {value: value for value in range(sources)}
    free = [r for r in range(VECTOR_REGISTERS) if r >= sources or r not in last_use]
    constants: list[float | int] = []
    ops: list[MicroOp] = []
    for position, step in enumerate(steps):
        read = tuple(register[value] for value in step.sources)
        free += {register[value] for value in step.sources if last_use[value] == position}
        if not free:
            raise _limit(where, f"more than {VECTOR_REGISTERS} values live at once", VECTOR_REGISTERS)
        register[step.result] = min(free)
        free.remove(min(free))
        index = 0
        if step.constant is not None:
            index = len(constants)
            constants.append(step.constant)
        ops.append(MicroOp(step.opcode, step.type, register[step.result], read, index))
    if len(constants) > MAX_CONSTANTS:
        raise _limit(where, f"{len(constants)} constants", MAX_CONSTANTS)
    return ops, tuple(constants), register[yielded]
