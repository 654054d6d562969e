"""Lowers tile programs and compares every way of running them."""

from __future__ import annotations

import numpy as np
from npucc.constants import ConstantStore
from npucc.emit import emit_program
from npucc.interpreters.addresses import address_differences
from npucc.interpreters.tile import run_tile
from npucc.npu_values import run_npu
from npucc.passes.npu.lower_tile import lower_function
from npuisa.program import Program
from npuisa.target import Target
from npuisa.validate import validate_program
from npusim.functional import run_functional
from xdsl.dialects.builtin import ModuleOp

TARGET = Target.load("edge-4t")


def lower(module: ModuleOp) -> ModuleOp:
    """The npu module; checked against the tile loops, and as text."""
    program = lower_function(module, TARGET)
    assert address_differences(module, program, TARGET) == []
    lowered = ModuleOp([program])
    lowered.verify()
    return lowered


def check_values(
    module: ModuleOp, inputs: dict[str, np.ndarray], constants: ConstantStore, tolerance: float = 0.0
) -> Program:
    """Simulator == IR interpreter == tile interpreter; returns the emitted program."""
    expected = run_tile(module, list(inputs.values()), constants)
    lowered = lower(module)
    program = emit_program(lowered, constants)
    validate_program(program, TARGET)
    outputs = run_functional(program, inputs, target=TARGET)
    direct = run_npu(lowered, inputs, constants, TARGET)
    for port, wanted in zip(program.outputs, expected):
        np.testing.assert_allclose(
            outputs[port.name].astype(np.float64), wanted.astype(np.float64), rtol=tolerance, atol=tolerance
        )
        np.testing.assert_array_equal(direct[port.name], outputs[port.name])
    return program


def random(shape: tuple[int, ...], dtype: type = np.float16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def store(**arrays: np.ndarray) -> ConstantStore:
    constants = ConstantStore()
    for name, array in arrays.items():
        constants.add(name, array)
    return constants
