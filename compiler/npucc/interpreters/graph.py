"""Run a graph-level module with NumPy, value by value in program order."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr, SymbolRefAttr
from xdsl.ir import Block, Operation, SSAValue

from npucc.constants import ConstantStore
from npucc.dialects.graph import ConstantOp, ControlOp, GraphOp, GroupOp, IfOp, LoopOp, Numerics, YieldOp, captured
from npucc.types import Array, element_of, shape_of

BAD_MODULE = error_code("NPU-E0801", ExitCode.BAD_INPUT, "The module is not a graph that can be run")
BAD_INPUT = error_code("NPU-E0802", ExitCode.BAD_INPUT, "Inputs do not fit the graph's @main")

Observer = Callable[[Operation, Sequence[Array]], None]
"""Called with each op that computes (also inside groups) and its results."""


def run_graph(
    module: ModuleOp,
    inputs: Mapping[str, Array] | Sequence[Array],
    constants: ConstantStore,
    *,
    observe: Observer | None = None,
    high_precision: bool = False,
) -> list[Array]:
    """Results of `@main`. `inputs` are by position, or by the names in the attribute `npucc.inputs`.

    With `high_precision` all floats compute in f64 and are never rounded (an oracle; the results are f64).
    Values are dropped after their last use. Errors: NPU-E0801 (no @main, foreign ops), NPU-E0802 (inputs).
    """
    main = main_function(module)
    runner = _Runner(constants, Numerics(high_precision), observe)
    values = runner.check_inputs(main, _ordered(main, inputs))
    with np.errstate(all="ignore"):
        return runner.run_block(main.body.block, values)


def evaluate_op(op: GraphOp, args: Sequence[Array]) -> Array:
    """One op on arrays of its operands' types."""
    with np.errstate(all="ignore"):
        return op.evaluate(args, Numerics())


def main_function(module: ModuleOp) -> func.FuncOp:
    """The function @main; NPU-E0801 if there is none."""
    for op in module.body.block.ops:
        if isinstance(op, func.FuncOp) and op.sym_name.data == "main":
            return op
    found = ", ".join(op.name for op in module.body.block.ops) or "an empty module"
    raise NpuError(BAD_MODULE, "there is no func.func @main", found=found, remedy="name the entry function @main")


def input_names(main: func.FuncOp) -> tuple[str, ...]:
    """The ONNX names of the arguments, where the attribute `npucc.inputs` gives them; else arg0, arg1, ..."""
    names = main.attributes.get("npucc.inputs")
    if isinstance(names, ArrayAttr):
        return tuple(name.data for name in names if isinstance(name, StringAttr))
    return tuple(f"arg{position}" for position in range(len(main.args)))


def _ordered(main: func.FuncOp, inputs: Mapping[str, Array] | Sequence[Array]) -> list[Array]:
    if not isinstance(inputs, Mapping):
        return list(inputs)
    names = input_names(main)
    if set(names) != set(inputs):
        found, remedy = ", ".join(inputs) or "none", f"give exactly: {', '.join(names)}"
        raise NpuError(BAD_INPUT, "the names of the inputs differ from @main's", found=found, remedy=remedy)
    return [inputs[name] for name in names]


class _Runner:
    """The walk. Values live in a dictionary as long as they have uses to come; `outer` holds those around a region."""

    def __init__(self, constants: ConstantStore, numerics: Numerics, observe: Observer | None) -> None:
        self.constants = constants
        self.numerics = numerics
        self.observe = observe
        self._block_uses: dict[Block, Counter[SSAValue]] = {}
        self._captures: dict[Operation, list[SSAValue]] = {}

    def check_inputs(self, main: func.FuncOp, arrays: list[Array]) -> list[Array]:
        """The inputs in the types to compute in; NPU-E0802 naming the first that does not fit."""
        if len(arrays) != len(main.args):
            found = f"{len(arrays)} inputs"
            raise NpuError(BAD_INPUT, "wrong number of inputs", found=found, remedy=f"give {len(main.args)}")
        checked: list[Array] = []
        for name, argument, array in zip(input_names(main), main.args, arrays):
            if array.shape != shape_of(argument):
                found, remedy = str(list(array.shape)), f"its shape is {list(shape_of(argument))}"
                raise NpuError(BAD_INPUT, "wrong shape of an input", where=name, found=found, remedy=remedy)
            checked.append(array.astype(self.numerics.dtype(element_of(argument)), copy=False))
        return checked

    def run_block(
        self, block: Block, args: Sequence[Array], outer: Mapping[SSAValue, Array] | None = None
    ) -> list[Array]:
        """Run to the terminator; the values it is given. `outer`: values that the block sees from around it."""
        values: dict[SSAValue, Array] = dict(zip(block.args, args))
        left = self._uses(block).copy()
        around = outer or {}
        for op in block.ops:
            operands = [values[operand] if operand in values else around[operand] for operand in op.operands]
            if isinstance(op, YieldOp | func.ReturnOp):
                return operands
            results = self.run_op(op, operands, ChainMap(values, dict(around)) if isinstance(op, ControlOp) else {})
            del operands
            values.update(zip(op.results, results))
            used = (*op.operands, *self._captured(op))
            left.subtract(used)
            for value in (*used, *op.results):
                if left[value] <= 0:
                    values.pop(value, None)
        raise NpuError(BAD_MODULE, "a block ends without func.return or graph.yield", remedy="add the terminator")

    def _captured(self, op: Operation) -> list[SSAValue]:
        """What the regions of a loop or branch read from around them."""
        if not isinstance(op, ControlOp):
            return []
        if op not in self._captures:
            self._captures[op] = captured(op)
        return self._captures[op]

    def _uses(self, block: Block) -> Counter[SSAValue]:
        """How often each value is used in a block."""
        if block not in self._block_uses:
            operands = (operand for op in block.ops for operand in (*op.operands, *self._captured(op)))
            self._block_uses[block] = Counter(operands)
        return self._block_uses[block]

    def run_op(
        self, op: Operation, operands: Sequence[Array], around: Mapping[SSAValue, Array]
    ) -> Sequence[Array]:
        """Results of one op; `around` are the values that its regions see."""
        match op:
            case ConstantOp():
                return [self.constant(op)]
            case GroupOp():
                results = self.run_block(op.block, operands)
            case LoopOp():
                results = self._loop(op, operands, around)
            case IfOp():
                then, otherwise = op.branches
                results = self.run_block(then if operands[0].item() else otherwise, [], around)
            case GraphOp():
                results = [op.evaluate(operands, self.numerics)]
            case _:
                raise NpuError(BAD_MODULE, "not an op of the graph dialect", found=op.name, remedy="lower later")
        if self.observe is not None:
            self.observe(op, results)
        return results

    def _loop(self, op: LoopOp, operands: Sequence[Array], around: Mapping[SSAValue, Array]) -> list[Array]:
        """Step by step; elements of stacked results that no step gives stay 0."""
        limits = [op.step_limit, None if op.trip is None else int(operands[0].item())]
        limit = min((bound for bound in limits if bound is not None), default=None)
        values = operands[0 if op.trip is None else 1 :]
        count = len(op.carried)
        carried, scanned = list(values[:count]), values[count:]
        stacked = [np.zeros(shape_of(r), self.numerics.dtype(element_of(r))) for r in op.stacked_results]
        step = 0
        while (limit is None or step < limit) and (op.conditional is None or carried[0].item()):
            places = [_place(op, step, op.reverses_scanned(i)) for i in range(len(scanned))]
            pieces = [array[place] for array, place in zip(scanned, places)]
            yielded = self.run_block(op.block, [*carried, *map(np.asarray, pieces)], around)
            carried = yielded[:count]
            for index, piece in enumerate(yielded[count:]):
                stacked[index][_place(op, step, op.reverses_stacked(index))] = piece
            step += 1
        return [*carried, *stacked]

    def constant(self, op: ConstantOp) -> Array:
        """A constant's array in the type to compute in; NPU-E0801 if the store lacks it or holds another type."""
        name = op.symbol_name
        if name not in self.constants:
            raise missing_constant(op.symbol)
        array = self.constants[name]
        if array.shape != shape_of(op.result):
            found = f"{list(array.shape)} for {op.result.type}"
            raise NpuError(BAD_MODULE, "the stored constant has another shape", where=f"@{name}", found=found)
        return array.astype(self.numerics.dtype(element_of(op.result)), copy=False)


def _place(op: LoopOp, step: int, is_reversed: bool) -> int:
    """Which element of a scanned or stacked value belongs to a step."""
    return (op.step_limit or 0) - 1 - step if is_reversed else step


def missing_constant(symbol: SymbolRefAttr) -> NpuError:
    """The error for a symbol that the store does not have."""
    remedy = "load the constants that belong to the module beside it"
    return NpuError(BAD_MODULE, "the constant store has no such symbol", where=str(symbol), remedy=remedy)
