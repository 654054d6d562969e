"""Loads and stores of the sequencer: values of every element type, order, faults, records and assumptions."""

from __future__ import annotations

import numpy as np
import pytest
from npuisa.assembly import assemble
from npuisa.dtypes import DTYPES, NARROW_FLOATS, SUB_BYTE_INTEGERS, dtype_named
from npuisa.program import Program
from npuisa.target import Target
from npusim.functional import run_functional

TARGET = Target.load("edge-4t")
NAMES = [dtype.name for dtype in DTYPES if dtype not in (*NARROW_FLOATS, *SUB_BYTE_INTEGERS)]


def through_a_register(name: str, between: str = "") -> Program:
    """x [1] -> r1 -> y [1], both of type `name`; r1 also goes to `word` (i64)."""
    return assemble(f"""
        .target edge-4t
        .region x input @ 0 size 8
        .region y output @ 64 size 8
        .region w output @ 128 size 8
        .input x {name} [1] @ x
        .output y {name} [1] @ y
        .output word i64 [1] @ w
        .desc xs dram {name} [1] @ x
        .desc ys dram {name} [] @ y
        .desc ws dram i64 [1,1] @ w
        s.ld r1, xs
        {between}
        s.st ys, r1
        s.st ws, r1
        s.halt
    """)


def edge_values(name: str) -> list[object]:
    kind = dtype_named(name)
    if kind.is_float:
        return [0.0, -0.0, 1.0, -1.5, float("inf"), float("nan")]
    if name == "bool":
        return [False, True]
    if kind.numpy.kind not in "iu":
        return [0, 1]
    info = np.iinfo(kind.numpy)
    return [0, 1, int(info.min), int(info.max)]


@pytest.mark.parametrize("name", NAMES)
def test_elements_of_every_type_pass_through_a_register(name: str) -> None:
    program = through_a_register(name)
    for value in edge_values(name):
        x = np.array([value], dtype_named(name).numpy)
        outputs = run_functional(program, {"x": x})
        assert outputs["y"].tobytes() == x.tobytes()
        word = int(outputs["word"][0])
        if dtype_named(name).is_float:
            assert word == int.from_bytes(x.tobytes(), "little") - (1 << 64) * (x.itemsize == 8 and word < 0)
        else:
            assert word == int(np.array(int(x[0])).astype(np.uint64).view(np.int64))


@pytest.mark.parametrize(("name", "stored"), [("u8", 44), ("i8", 44), ("i16", 300), ("bool", True), ("i32", 300)])
def test_a_store_keeps_the_low_bits(name: str, stored: int) -> None:
    outputs = run_functional(through_a_register(name, "s.li r1, 300"), {"x": np.zeros(1, dtype_named(name).numpy)})
    assert outputs["y"][0] == stored
