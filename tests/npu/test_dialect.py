"""The npu dialect: complete against the instruction table, text that parses back, verifiers that refuse."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npucc.dialects.npu import (
    DescOp,
    InstructionOp,
    KernelOp,
    LabelOp,
    LoopOp,
    Npu,
    OperandRef,
    OriginOp,
    PortOp,
    ProgramOp,
    RegionOp,
    SemOp,
    instruction_ops,
)
from npucc.dialects.npu_ops.instruction import STRUCTURED, field_specs
from npuisa.descriptor import Descriptor, Space
from npuisa.dtypes import dtype_named
from npuisa.encoding import field_limits
from npuisa.instructions import BY_MNEMONIC, Engine, FieldSpec
from npuisa.kernel import MICRO_OPCODES, Kernel, MicroOp, MicroType, operand_types, result_type
from npuisa.program import Increment, Port, Region, RegionKind
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp, StringAttr
from xdsl.ir import Operation
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

INVALID = sorted((Path(__file__).parent / "invalid").glob("*.mlir"))


def parse(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Npu, Arith):
        context.load_dialect(dialect)
    return Parser(context, text).parse_module()


def round_trip(ops: list[Operation]) -> None:
    """Custom and generic text both give the same module back."""
    module = ModuleOp([ProgramOp("edge-4t", ops, {"model": "m"})])
    module.verify()
    text = str(module)
    generic = io.StringIO()
    Printer(generic, print_generic_format=True).print_op(module)
    for form in (text, generic.getvalue()):
        again = parse(form)
        again.verify()
        assert again.is_structurally_equivalent(module)
        assert str(again) == text


def test_every_instruction_of_the_table_has_an_operation() -> None:
    names = {op.name for op in Npu.operations}
    missing = [m for m in BY_MNEMONIC if m not in STRUCTURED and f"npu.{m}" not in names]
    assert not missing, f"make operations for {missing} in dialects/npu_ops/instruction.py"
    assert {"s.loop"} == STRUCTURED and "npu.loop" in names
    extra = {op.ISA.mnemonic for op in instruction_ops().values()} - BY_MNEMONIC.keys()
    assert not extra


@pytest.mark.parametrize("mnemonic", sorted(instruction_ops()))
def test_operations_have_the_fields_of_the_table(mnemonic: str) -> None:
    op = instruction_ops()[mnemonic]
    properties = op.get_irdl_definition().properties
    assert {name for name, _ in BY_MNEMONIC[mnemonic].fields()} <= properties.keys()


def declarations() -> list[Operation]:
    """One descriptor per space, and a symbol of every other kind."""
    spaces = [Descriptor(space.name.lower(), space, dtype_named("f16"), 64, (2, 3), (3, 1)) for space in Space]
    kernel = Kernel("kernel", (MicroType.F32,), (), (), 0)
    return [*map(DescOp, spaces), KernelOp(kernel), LabelOp("label"), SemOp("a", 1), SemOp("b", 0)]


def field_values(spec: FieldSpec) -> st.SearchStrategy[Any]:
    """Legal values of one field."""
    if spec.kind == "operand":
        names = st.sampled_from([space.name.lower() for space in spec.spaces])
        return st.builds(OperandRef, names, st.integers(0, 31))
    symbols = {"kernel": "kernel", "target": "label", "descriptor": "sram", "semaphore": "a"}
    if spec.kind in symbols:
        return st.just(symbols[spec.kind])
    if spec.enum is not None:
        return st.sampled_from(list(spec.enum))
    return st.integers(*field_limits(spec))


@st.composite
def instructions(draw: st.DrawFn) -> InstructionOp:
    """Any instruction with any legal fields; optional ones may be left out."""
    cls = draw(st.sampled_from(list(instruction_ops().values())))
    names = {name for name, spec in field_specs(cls.ISA) if not spec.optional or draw(st.booleans())}
    fields = {name: draw(field_values(spec)) for name, spec in field_specs(cls.ISA) if name in names}
    semaphores = st.lists(st.sampled_from(["a", "b"]), max_size=2)
    unit: Engine | None = None
    if cls.ISA.fixed_engine is None:
        unit = draw(st.sampled_from(cls.ISA.units))
    return cls.make(fields, unit=unit, waits=draw(semaphores), posts=draw(semaphores), **draw(origins()))


def origins() -> st.SearchStrategy[dict[str, str]]:
    return st.sampled_from([{}, {"origin": "g0", "tile_op": 'tile.copy "4"'}])


@settings(max_examples=80, deadline=None)
@given(st.lists(instructions(), min_size=1, max_size=4))
def test_instructions_round_trip(code: list[InstructionOp]) -> None:
    round_trip([*declarations(), OriginOp("g0", "fc1", 0, ["/a", "/b"]), *code])


NUMBERS = st.floats() | st.integers(-(1 << 63), (1 << 63) - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=6, unique_by=repr), st.data())
def test_kernels_round_trip(values: list[float | int], data: st.DataObject) -> None:
    values = [math.nan if value != value else value for value in values]
    ops = [MicroOp("const", MicroType.F64, i + 1, (), i) for i in range(len(values))]
    held = {0: MicroType.F32} | {op.dst: op.type for op in ops}
    for opcode in data.draw(st.lists(st.sampled_from(MICRO_OPCODES[1:]), max_size=6)):
        kind, dst = data.draw(st.sampled_from(sorted(opcode.types))), data.draw(st.integers(0, len(values)))
        wanted = operand_types(MicroOp(opcode.name, kind, dst, (0,) * opcode.arity))
        choices = [[register for register, type_ in held.items() if type_ is want] for want in wanted]
        if all(choices):
            sources = tuple(data.draw(st.sampled_from(choice)) for choice in choices)
            ops.append(MicroOp(opcode.name, kind, dst, sources))
            held[dst] = result_type(ops[-1])
    round_trip([KernelOp(Kernel("k", (MicroType.F32,), tuple(ops), tuple(values), 0))])


@pytest.mark.parametrize("fill", [0, -3, 0.0, -0.0, 1e-05, 1e300, math.inf, -math.inf])
def test_descriptors_round_trip(fill: float | int) -> None:
    dtype = dtype_named("f32" if isinstance(fill, float) else "i8")
    descriptor = Descriptor("/layer.1/x y", Space.DRAM, dtype, 4096, (2, 3), (-3, 0), fill)
    round_trip([DescOp(descriptor)])
    found = DescOp(descriptor).value
    assert found == descriptor and math.copysign(1, found.fill) == math.copysign(1, fill)


def test_structure_round_trips() -> None:
    inner = LoopOp(0, [])
    outer = LoopOp(48, [Increment(1, -128), Increment(2, 98304, 196608)], origin="g0")
    outer.body.block.add_ops([inner, instruction_ops()["s.fence"].make()])
    port = Port("x:0", dtype_named("bf16"), (), 64)
    region = Region("/w 1", RegionKind.CONSTANT, 128, 0)
    origin = OriginOp("g0", 'a "quoted" name', 3, [])
    round_trip([RegionOp(region), PortOp("output", port), origin, outer, LabelOp("end")])
    assert RegionOp(region).value == region and PortOp("output", port).value == port


def test_foreign_attributes_are_kept() -> None:
    """Tools may mark any operation; text does not lose the mark."""
    loop = LoopOp(1, [])
    region, port = Region("r", RegionKind.SCRATCH, 0, 64), Port("x", dtype_named("f32"), (2,), 0)
    origin = OriginOp("g", "", 0, [])
    ops = [RegionOp(region), PortOp("input", port), origin, *declarations(), loop, instruction_ops()["s.halt"].make()]
    for op in ops:
        op.attributes["mark"] = StringAttr(op.name)
    round_trip(ops)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_files_are_refused(path: Path) -> None:
    first, _, text = path.read_text().partition("\n")
    expected = first.removeprefix("// expected: ")
    assert expected != first, "the first line says what is expected"
    with pytest.raises((ParseError, VerifyException)) as caught:
        parse(text).verify()
    assert expected in str(caught.value)
