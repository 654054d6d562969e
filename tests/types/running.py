"""Runs a model on the simulator and at the three levels of the compiler, which must agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from npucc.bisect import interpret_graph, interpret_tile
from npucc.driver import start
from npucc.npu_values import run_npu
from npucc.options import Options
from npucc.pipeline import Level, pipeline
from npuisa.target import Target
from npusim.functional import FunctionalSimulator

TARGET = Target.load("edge-4t")


def run_everywhere(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The first output. Graph as imported and as optimised, tile, npu and the program give the same bits (of a NaN:
    a NaN)."""
    compilation = start(model, TARGET, Options())
    constants = compilation.context.constants
    found = {"imported": interpret_graph(compilation.module, inputs, constants)}
    steps = pipeline(Options())
    for level, interpret in ((Level.GRAPH, interpret_graph), (Level.TILE, interpret_tile)):
        compilation.run([step for step in steps if step.level is level])
        found[level.value] = interpret(compilation.module, inputs, constants)
    compilation.run([step for step in steps if step.level is Level.NPU])
    found["npu"] = run_npu(compilation.module, dict(inputs), constants, TARGET)
    program = FunctionalSimulator(compilation.emit(), TARGET).run(dict(inputs))
    name = model.graph.output[0].name
    for level, outputs in found.items():
        assert same(outputs[name], program[name]), f"{level} computes other values than the program"
    return program[name]


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal types, shapes, numbers and signs of zeros; NaN in the same places."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if found.dtype.kind in "iub":
        return np.array_equal(found, expected)
    a, b = found.astype(np.float64), expected.astype(np.float64)
    nan = np.isnan(b)
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a[~nan]), np.signbit(b[~nan]))
