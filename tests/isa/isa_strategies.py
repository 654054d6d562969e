"""Hypothesis strategies for instructions, descriptors, kernels and programs, derived from the tables."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st
from legal_operands import legal_fields
from npuisa.control_flow import innermost_loops
from npuisa.descriptor import Descriptor, Space
from npuisa.descriptor_encoding import integer_limits
from npuisa.dtypes import DTYPES, DType
from npuisa.encoding import field_limits
from npuisa.instructions import (
    NO_OPERAND,
    TABLE,
    Engine,
    FieldSpec,
    Instruction,
    Operand,
    SBr,
    SemInit,
    SLoop,
)
from npuisa.kernel import MICRO_OPCODES, Kernel, MicroOp, MicroType, operand_types, result_type
from npuisa.program import DebugEntry, Increment, LoopSpec, Port, Program, Region, RegionKind

NAMES = st.one_of(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
REGISTERS = st.integers(0, 31)


def edges(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers of a range, its ends more often than chance would have it."""
    return st.one_of(st.sampled_from([low, high]), st.integers(low, high))


def operands(spec: FieldSpec) -> st.SearchStrategy[Operand]:
    present = st.builds(Operand, edges(*field_limits(spec)), edges(0, 31))
    return st.one_of(st.just(NO_OPERAND), present) if spec.optional else present


def field_values(spec: FieldSpec) -> st.SearchStrategy[Any]:
    if spec.kind == "operand":
        return operands(spec)
    if spec.enum is not None:
        return st.sampled_from(list(spec.enum))
    return edges(*field_limits(spec))


def instructions_of(
    cls: type[Instruction], semaphores: int = 64, **fixed: st.SearchStrategy[Any]
) -> st.SearchStrategy[Instruction]:
    """Any instance of `cls` that the encoding holds; `fixed` replaces the strategy of some fields."""
    values = {name: field_values(spec) for name, spec in cls.fields()} | fixed
    if cls.fixed_engine is None:
        values["unit"] = st.sampled_from(cls.units)
    numbers = st.integers(0, max(semaphores - 1, 0))
    codes = st.lists(numbers, max_size=2 if semaphores else 0).map(tuple)
    return st.builds(cls, waits=codes, posts=codes, **values)


ANY_INSTRUCTION = st.sampled_from(list(TABLE.values())).flatmap(instructions_of)


def fills(dtype: DType) -> st.SearchStrategy[float | int]:
    if not dtype.is_float:
        return edges(*integer_limits(dtype))
    bits = st.integers(0, (1 << 64) - 1).map(lambda word: struct.unpack("<d", struct.pack("<Q", word))[0])
    return st.one_of(st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), 1.0, -3.4028234663852886e38]), bits)


@st.composite
def descriptors(draw: st.DrawFn, space: Space | None = None, inside: int | None = None) -> Descriptor:
    """Any legal descriptor; with `inside` its bytes lie in 0 .. inside."""
    rank = draw(st.integers(0, 8))
    large = draw(st.booleans()) and inside is None
    top = (1 << 32) - 1 if large else 70000
    dims = tuple(draw(edges(0, top)) for _ in range(rank))
    bound = 1 << 31 if large else (1 << 23) + 2
    strides = tuple(draw(st.one_of(edges(-bound, bound - 1), st.integers(-40, 40))) for _ in range(rank))
    dtype = draw(st.sampled_from(DTYPES))
    base = draw(edges(0, (1 << 40) - 1))
    chosen = draw(st.sampled_from(list(Space))) if space is None else space
    found = Descriptor(draw(NAMES), chosen, dtype, base, dims, strides, draw(fills(dtype)))
    return found if inside is None else _moved_inside(found, inside)


def _moved_inside(view: Descriptor, size: int) -> Descriptor:
    low, high = view.byte_range()
    if high - low > size:
        dims = tuple(min(dim, 3) for dim in view.dims)
        view = Descriptor(view.name, view.space, view.dtype, view.base, dims, view.strides, view.fill)
        low, high = view.byte_range()
    base = view.base - low
    return Descriptor(view.name, view.space, view.dtype, base, view.dims, view.strides, view.fill)


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    """Any kernel that passes `check_kernel`."""
    sources = tuple(draw(st.lists(st.sampled_from(list(MicroType)), max_size=4)))
    numbers = st.one_of(st.floats(), edges(-(1 << 63), (1 << 63) - 1), edges(-(1 << 31), (1 << 31) - 1))
    constants = (draw(st.integers(-9, 9)), *draw(st.lists(numbers, max_size=63 if draw(st.booleans()) else 3)))
    held = dict(enumerate(sources))
    ops: list[MicroOp] = []
    for _ in range(draw(st.integers(0 if held else 1, 32))):
        op = _micro_op(draw, held, constants)
        ops.append(op)
        held[op.dst] = result_type(op)
    return Kernel(draw(NAMES), sources, tuple(ops), constants, draw(st.sampled_from(sorted(held))))


def _micro_op(draw: st.DrawFn, held: dict[int, MicroType], constants: tuple[float | int, ...]) -> MicroOp:
    """A micro-operation whose sources the registers hold; a constant if the drawn one has no sources."""
    opcode = draw(st.sampled_from(MICRO_OPCODES))
    kind = draw(st.sampled_from(sorted(opcode.types)))
    dst = draw(st.integers(0, 15))
    wanted = operand_types(MicroOp(opcode.name, kind, dst, (0,) * opcode.arity))
    choices = [sorted(reg for reg, type_ in held.items() if type_ is want) for want in wanted]
    if opcode.arity and all(choices):
        return MicroOp(opcode.name, kind, dst, tuple(draw(st.sampled_from(choice)) for choice in choices))
    limit = {MicroType.I32: 1 << 31, MicroType.I64: 1 << 63}.get(kind)
    legal = [
        index
        for index, value in enumerate(constants)
        if limit is None or (not isinstance(value, float) and -limit <= value < limit)
    ]
    return MicroOp("const", kind, dst, (), draw(st.sampled_from(legal)))


@st.composite
def loop_specs(draw: st.DrawFn) -> LoopSpec:
    registers = draw(st.lists(st.integers(1, 31), unique=True, max_size=4))
    return LoopSpec(tuple(draw(increments(reg)) for reg in registers))


@st.composite
def increments(draw: st.DrawFn, reg: int) -> Increment:
    modulus, reach = draw(edges(0, (1 << 48) - 1)), 1 << 47
    low, high = (-reach, reach - 1) if modulus == 0 else (max(-reach, 1 - modulus), min(reach, modulus) - 1)
    return Increment(reg, draw(edges(low, high)), modulus)


DRAM_BYTES = 1 << 39
ONE_SOURCE = Kernel("one source", (MicroType.F32,), ())


@st.composite
def programs(draw: st.DrawFn, size: int = 12) -> Program:
    """Valid programs that use every table; their values mean nothing."""
    spaces = list(Space) + draw(st.lists(st.sampled_from(list(Space)), max_size=4))
    views = [draw(descriptors(space, inside=DRAM_BYTES)) for space in spaces]
    semaphores = draw(st.lists(edges(0, 0xFFFF), max_size=6))
    program = Program(
        target="edge-4t",
        instructions=[],
        descriptors=views,
        kernels=[ONE_SOURCE, *draw(st.lists(kernels(), max_size=2))],
        loops=draw(st.lists(loop_specs(), min_size=1, max_size=3)),
        semaphores=semaphores,
        semaphore_names=[draw(NAMES) for _ in semaphores],
        regions=[Region("all", RegionKind.SCRATCH, 0, DRAM_BYTES)],
        inputs=[],
        outputs=[],
        metadata=draw(st.dictionaries(st.one_of(st.just("target"), NAMES), NAMES, max_size=2)),
    )
    _add_constants(draw, program)
    _add_ports(draw, program)
    program.instructions = _body(draw, program, size)
    if draw(st.booleans()):
        entry = st.builds(DebugEntry, st.integers(-1, 9), NAMES, NAMES, st.lists(NAMES, max_size=2).map(tuple))
        pool = draw(st.lists(entry, min_size=1, max_size=3))
        program.debug = [draw(st.sampled_from(pool)) for _ in program.instructions]
    return program


def _add_constants(draw: st.DrawFn, program: Program) -> None:
    base = DRAM_BYTES
    for name in draw(st.lists(NAMES.filter(lambda text: text != "all"), unique=True, max_size=3)):
        data = np.frombuffer(draw(st.binary(max_size=99)), np.uint8)
        program.regions.append(Region(name, RegionKind.CONSTANT, base, len(data)))
        program.constants[name] = data
        base += len(data) + draw(st.integers(0, 64))


def _add_ports(draw: st.DrawFn, program: Program) -> None:
    for ports in (program.inputs, program.outputs):
        for name in draw(st.lists(NAMES, unique=True, max_size=2)):
            shape = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
            ports.append(Port(name, draw(st.sampled_from(DTYPES)), shape, draw(st.integers(0, 1 << 30))))


def _body(draw: st.DrawFn, program: Program, size: int) -> list[Instruction]:
    found: list[Instruction] = []
    _block(draw, program, size, 0, found)
    inside = innermost_loops(found)
    for number, item in enumerate(found):
        if isinstance(item, SBr):
            places = [place for place, loop in enumerate(inside) if loop == inside[number]]
            to = draw(st.sampled_from(places))
            found[number] = SBr(fn=item.fn, ra=item.ra, rb=item.rb, to=to)
    return found


def _block(draw: st.DrawFn, program: Program, size: int, depth: int, found: list[Instruction]) -> None:
    for _ in range(draw(st.integers(1, size))):
        cls = draw(st.sampled_from(list(TABLE.values())))
        if (cls is SLoop and depth == 4) or (cls is SemInit and not program.semaphores):
            continue
        found.append(_program_instruction(draw, program, cls))
        if cls is SLoop:
            place, item = len(found) - 1, found[-1]
            _block(draw, program, 3, depth + 1, found)
            assert isinstance(item, SLoop)
            found[place] = SLoop(count=item.count, step=item.step, end=len(found))


def _program_instruction(draw: st.DrawFn, program: Program, cls: type[Instruction]) -> Instruction:
    fixed: dict[str, st.SearchStrategy[Any]] = {}
    sizes = {"loop": len(program.loops), "descriptor": len(program.descriptors), "semaphore": len(program.semaphores)}
    for name, spec in cls.fields():
        if spec.kind in sizes:
            fixed[name] = st.integers(0, sizes[spec.kind] - 1)
        elif spec.kind == "target":
            fixed[name] = st.just(0)
    fixed |= {name: st.just(value) for name, value in draw(legal_fields(program, cls)).items()}
    semaphores = 0 if cls.fixed_engine is Engine.SEQ else len(program.semaphores)
    return draw(instructions_of(cls, semaphores, **fixed))
