"""Micro-kernels: every element-wise graph op in every type it takes, and the limits of the machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from npucc.constants import ConstantStore
from npucc.dialects import graph, tile
from npucc.dialects.graph_ops.base import Numerics
from npucc.dialects.graph_ops.elementwise import BinaryOp, CastOp, ElementwiseOp, UnaryOp, emit_scalar
from npucc.emit import emit_program
from npucc.passes.npu.kernels import CONVERSIONS, DIRECT, lower_kernel
from npucc.passes.npu.lower_tile import lower_function
from npucc.types import compute_type, element_type, numpy_dtype, tensor
from npuisa.dtypes import DTYPES
from npuisa.errors import NpuError
from npuisa.instructions import VMap
from npuisa.kernel import MAX_MICRO_OPS, MICRO_BY_NAME, VECTOR_REGISTERS
from npuisa.target import Target
from npuisa.validate import validate_program
from npusim.functional import run_functional
from tile_builder import TileProgram
from xdsl.builder import Builder, InsertPoint
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f32
from xdsl.ir import Block
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.test_value import create_ssa_value

TARGET = Target.load("edge-4t")
TYPES = [dtype.name for dtype in DTYPES]
ARGUMENTS = {"graph.leaky_relu": [0.1], "graph.elu": [0.7], "graph.clip": [-1.0, 2.0]}


def leaves(cls: type) -> Iterator[type[ElementwiseOp]]:
    """All concrete element-wise ops."""
    for sub in cls.__subclasses__():
        if isinstance(getattr(sub, "name", None), str):
            yield sub
        yield from leaves(sub)


OPS = sorted(set(leaves(ElementwiseOp)), key=lambda op: op.name)


def make(cls: type[ElementwiseOp], element: str, target: str) -> ElementwiseOp:
    """The op on operands of shape (N,); VerifyException where it does not take the type."""
    value = lambda name: create_ssa_value(tensor((8,), name))  # noqa: E731
    if cls is CastOp:
        return CastOp(value(element), target)
    if issubclass(cls, UnaryOp):
        arguments = ARGUMENTS.get(cls.name, [])
        if cls.name == "graph.clip" and element.startswith("u"):
            arguments = [1.0, 2.0]
        return cls(value(element), *arguments)
    if issubclass(cls, BinaryOp):
        return cls(value(element), value(element))
    assert cls is graph.WhereOp, f"{cls.name}: say here how to make it"
    return graph.WhereOp(value("bool"), value(element), value(element))


def data(element: str, seed: int) -> np.ndarray:
    """Eight values with both signs, 0 and (floats) halves; the second operand has no zeros."""
    base = np.array([0.0, 1.0, -1.0, 2.5, -3.5, 0.25, 7.0, -0.75])
    if seed:
        base = np.array([2.0, -3.0, 1.0, 2.0, 1.5, 3.0, 2.0, 1.0])
    dtype = numpy_dtype(element_type(element))
    if element == "f8e8m0":  # positive: an integer of the NaN that others become would be undefined
        return np.exp2(base.round()).astype(dtype)
    if element == "bool":
        return base > 0
    return (np.abs(base) if element.startswith("u") else base).astype(dtype)


CASES = [(cls, element, target) for cls in OPS for element in TYPES for target in (TYPES if cls is CastOp else [""])]


@pytest.mark.parametrize("cls", OPS, ids=lambda cls: cls.name)
def test_every_elementwise_op_becomes_a_kernel(cls: type[ElementwiseOp]) -> None:
    ran = 0
    for element in TYPES:
        for target in TYPES if cls is CastOp else [""]:
            try:
                op = make(cls, element, target)
            except VerifyException:
                continue
            _compare(op)
            ran += 1
    assert ran, f"{cls.name} takes no type"


def _compare(op: ElementwiseOp) -> None:
    elements = [t.element_type for t in op.operand_types]
    names = ["bool" if str(e) == "i1" else next(d for d in TYPES if element_type(d) == e) for e in elements]
    result = next(d for d in TYPES if element_type(d) == op.result_type.element_type)
    p = TileProgram({f"x{i}": ((8,), name) for i, name in enumerate(names)}, {"y": ((8,), result)})
    with p.group("g"):
        pools = [p.pool(f"p{i}", "sram", 1, 64) for i in range(len(names) + 1)]
        buffers = [p.acquire(pool, (8,), name) for pool, name in zip(pools, [*names, result])]
        for i in range(len(names)):
            p.add(tile.CopyOp(p.args[f"x{i}"], buffers[i]))
        types = [compute_type(element) for element in elements]
        p.map(buffers[:-1], buffers[-1], types, lambda builder, *scalars: emit_scalar(op, builder, scalars))
        p.add(tile.CopyOp(buffers[-1], p.args["y"]))
    program = emit_program(ModuleOp([lower_function(p.finish(), TARGET)]), ConstantStore())
    validate_program(program, TARGET)
    inputs = {f"x{i}": data(name, i % 2) for i, name in enumerate(names)}
    found = run_functional(program, inputs, target=TARGET)["y"]
    with np.errstate(all="ignore"):
        wanted = op.evaluate(list(inputs.values()), Numerics())
    where = f"{op.name} of {names} to {result}"
    # the scalar code may round in other places than NumPy's formula
    np.testing.assert_allclose(
        found.astype(float), wanted.astype(float), rtol=1e-2 if "f16" in result else 2e-6, atol=1e-6, err_msg=where
    )


def kernel_block(arguments: int = 1) -> tuple[Block, Builder]:
    block = Block(arg_types=[f32] * arguments)
    return block, Builder(InsertPoint.at_end(block))


def test_micro_operations_of_the_table_exist_and_none_is_forgotten() -> None:
    assert set(DIRECT.values()) <= MICRO_BY_NAME.keys()
    made_elsewhere = {"const", "mov", "fma", "eq", "ne", "lt", "le", "select"} | {
        name for name in MICRO_BY_NAME if name.startswith("cvt_")
    }
    assert set(DIRECT.values()) | made_elsewhere == MICRO_BY_NAME.keys()
    assert all(name.startswith("arith.") for name in CONVERSIONS)


def test_dead_code_vanishes_and_equal_constants_are_one() -> None:
    block, builder = kernel_block()
    one = [builder.insert(arith.ConstantOp(FloatAttr(1.0, f32))).result for _ in range(2)]
    builder.insert(math.ExpOp(block.args[0]))
    a = builder.insert(arith.AddfOp(block.args[0], one[0])).result
    builder.insert(tile.YieldOp(builder.insert(arith.MulfOp(a, one[1])).result))
    kernel = lower_kernel("k", block, "")
    assert [op.opcode for op in kernel.ops] == ["const", "add", "mul"]
    assert kernel.constants == (1.0,)


def test_a_product_that_is_only_added_becomes_an_fma() -> None:
    block, builder = kernel_block(3)
    a, b, c = block.args
    product = builder.insert(arith.MulfOp(a, b)).result
    builder.insert(tile.YieldOp(builder.insert(arith.AddfOp(c, product)).result))
    (op,) = lower_kernel("k", block, "").ops
    assert (op.opcode, op.sources) == ("fma", (0, 1, 2))


def test_a_product_that_is_used_twice_stays() -> None:
    block, builder = kernel_block(2)
    a, b = block.args
    product = builder.insert(arith.MulfOp(a, b)).result
    builder.insert(tile.YieldOp(builder.insert(arith.AddfOp(product, product)).result))
    assert [op.opcode for op in lower_kernel("k", block, "").ops] == ["mul", "add"]


def test_equal_operations_are_one() -> None:
    block, builder = kernel_block()
    exps = [builder.insert(math.ExpOp(block.args[0])).result for _ in range(2)]
    builder.insert(tile.YieldOp(builder.insert(arith.DivfOp(*exps)).result))
    assert [op.opcode for op in lower_kernel("k", block, "").ops] == ["exp", "div"]


def test_fma_gives_way_to_register_pressure() -> None:
    """Eight products of different factors fit as `mul`; as `fma` all sixteen factors would stay alive."""
    block, builder = kernel_block(2)
    x, y = block.args
    exps, products = [x], []
    for _ in range(7):
        exps.append(builder.insert(math.ExpOp(exps[-1])).result)
    for e in exps:
        products.append(builder.insert(arith.MulfOp(e, y)).result)
        y = builder.insert(math.ExpOp(y)).result
    total = y
    for product in products:
        total = builder.insert(arith.AddfOp(total, product)).result
    builder.insert(tile.YieldOp(total))
    kernel = lower_kernel("k", block, "")
    assert len(kernel.ops) == 7 + 8 + 8 + 8 and all(op.opcode != "fma" for op in kernel.ops)


def test_negative_zero_and_nan_constants_are_kept_apart() -> None:
    block, builder = kernel_block()
    value = block.args[0]
    for constant in (0.0, -0.0, float("nan"), float("inf")):
        number = builder.insert(arith.ConstantOp(FloatAttr(constant, f32))).result
        value = builder.insert(arith.AddfOp(value, number)).result
    builder.insert(tile.YieldOp(value))
    assert list(map(repr, lower_kernel("k", block, "").constants)) == ["0.0", "-0.0", "nan", "inf"]


def chain(length: int) -> Block:
    block, builder = kernel_block()
    value = block.args[0]
    for _ in range(length):
        value = builder.insert(math.ExpOp(value)).result
    builder.insert(tile.YieldOp(value))
    return block


def test_a_kernel_that_is_too_long_names_the_operation() -> None:
    assert len(lower_kernel("k", chain(MAX_MICRO_OPS), "here").ops) == MAX_MICRO_OPS
    with pytest.raises(NpuError, match=r"tile\.map 4xf32") as caught:
        lower_kernel("k", chain(MAX_MICRO_OPS + 1), "tile.map 4xf32")
    assert caught.value.entry.code == "NPU-E0720" and caught.value.remedy


@pytest.mark.parametrize("live, fits", [(VECTOR_REGISTERS - 1, True), (VECTOR_REGISTERS, False)])
def test_register_pressure(live: int, fits: bool) -> None:
    """A chain of `live` values, all needed again after it, beside the source."""
    block, builder = kernel_block()
    source = block.args[0]
    values = [builder.insert(math.ExpOp(source)).result]
    for _ in range(live - 1):
        values.append(builder.insert(math.ExpOp(values[-1])).result)
    total = builder.insert(arith.AddfOp(values[0], source)).result
    for value in values[1:]:
        total = builder.insert(arith.AddfOp(total, value)).result
    builder.insert(tile.YieldOp(total))
    if fits:
        assert max(op.dst for op in lower_kernel("k", block, "").ops) == VECTOR_REGISTERS - 1
    else:
        with pytest.raises(NpuError, match="live at once"):
            lower_kernel("k", block, "")


def test_an_operation_without_micro_operation_is_unsupported() -> None:
    block, builder = kernel_block(2)
    builder.insert(tile.YieldOp(builder.insert(math.Atan2Op(*block.args)).result))
    with pytest.raises(NpuError, match=r"math\.atan2") as caught:
        lower_kernel("k", block, "tile.map")
    assert caught.value.entry.code == "NPU-E0721"


def test_equal_kernels_are_shared() -> None:
    p = TileProgram({"x": ((8,), "f32")}, {"y": ((8,), "f32")})
    with p.group("g"):
        pools = [p.pool(name, "sram", 1, 64) for name in "ab"]
        a, b = (p.acquire(pool, (8,), "f32") for pool in pools)
        p.add(tile.CopyOp(p.args["x"], a))
        for source, target in ((a, b), (b, a)):
            p.map([source], target, [f32], lambda builder, x: builder.insert(math.ExpOp(x)).result)
        p.add(tile.CopyOp(a, p.args["y"]))
    program = emit_program(ModuleOp([lower_function(p.finish(), TARGET)]), ConstantStore())
    assert len(program.kernels) == 1
    assert [i.kernel for i in program.instructions if isinstance(i, VMap)] == [0, 0]
