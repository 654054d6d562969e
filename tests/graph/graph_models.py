"""Graph text with constants: parsing, seeded arrays for the symbols, and running passes."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np
from npucc.context import NpuContext
from npucc.dialects.graph import ConstantOp, Graph
from npucc.interpreters.graph import main_function, run_graph
from npucc.types import element_of, numpy_dtype, shape_of
from xdsl.dialects import builtin, func
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.passes import ModulePass

CONSTANT = re.compile(r"//\s*CONSTANT (\S+) = (.+)")


@dataclass
class Model:
    """A module with its constants."""

    module: ModuleOp
    context: NpuContext

    def inputs(self, seed: int = 0) -> list[np.ndarray]:
        """Seeded inputs of @main."""
        rng = np.random.default_rng(seed)
        types = [(shape_of(a), numpy_dtype(element_of(a))) for a in main_function(self.module).args]
        return [rng.normal(size=shape).astype(dtype) for shape, dtype in types]

    def run(self, **options: bool) -> list[np.ndarray]:
        """Results of @main for the seeded inputs."""
        return run_graph(self.module, self.inputs(), self.context.constants, **options)

    def apply(self, *passes: ModulePass) -> Model:
        """Run passes, verifying after each."""
        for each in passes:
            each.apply(self.context, self.module)
            self.module.verify()
        return self

    def names(self) -> list[str]:
        """Names of the graph ops in order, without constants."""
        ops = [op.name.removeprefix("graph.") for op in self.module.walk() if op.name.startswith("graph.")]
        return [name for name in ops if name != "constant"]


def new_context() -> NpuContext:
    """A context that knows the graph level's dialects."""
    context = NpuContext()
    for dialect in (builtin.Builtin, func.Func, Graph):
        context.load_dialect(dialect)
    return context


def load(text: str) -> Model:
    """Parse and verify. Constants: `// CONSTANT name = 1, 2, 3` (repeated to size), else drawn by symbol."""
    context = new_context()
    module = Parser(context, text).parse_module()
    module.verify()
    given = {name: [float(v) for v in values.split(",")] for name, values in CONSTANT.findall(text)}
    for op in module.walk():
        if isinstance(op, ConstantOp) and op.symbol_name not in context.constants:
            array = _array(op, given.get(op.symbol_name))
            context.constants.add(op.symbol_name, array)
    return Model(module, context)


def _array(op: ConstantOp, values: list[float] | None) -> np.ndarray:
    shape, dtype = shape_of(op.result), numpy_dtype(element_of(op.result))
    if values is not None:
        return np.resize(np.array(values), shape).astype(dtype)
    rng = np.random.default_rng(zlib.crc32(op.symbol_name.encode()))
    return rng.uniform(0.5, 1.5, size=shape).astype(dtype)

