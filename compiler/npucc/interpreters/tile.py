"""Runs a tile program on NumPy arrays in program order: what the program means, without machine or timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects import memref, scf
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from npucc import numpy_indexed, numpy_order
from npucc.analysis.index import LinearIndex, LoopBounds, linear_index, loop_bounds
from npucc.analysis.tile_program import main_function, signature
from npucc.analysis.views import View, resolve_view
from npucc.constants import ConstantStore
from npucc.dialects.tile import (
    AccumulatingOp,
    AcquireOp,
    AllocOp,
    CompressOp,
    ConstantOp,
    ConvOp,
    CopyOp,
    DwconvOp,
    FillOp,
    GatherOp,
    GemmOp,
    GroupOp,
    InstructionOp,
    MapOp,
    NormOp,
    ReduceOp,
    ScanOp,
    ScatterOp,
    SortOp,
    SyncOp,
    WindowOp,
    YieldOp,
    memref_of,
)
from npucc.element_conversion import converted
from npucc.interpreters import tile_compute as compute
from npucc.interpreters.control import scalar_value
from npucc.interpreters.scalar_code import evaluate_body
from npucc.types import Array, numpy_dtype

BAD_PROGRAM = error_code("NPU-E0814", ExitCode.BAD_INPUT, "A tile program cannot be run")
OUT_OF_BOUNDS = error_code("NPU-E0815", ExitCode.BAD_INPUT, "A tile program leaves the bounds of a buffer")


def run_tile(module: ModuleOp, inputs: Sequence[Array], constants: ConstantStore) -> list[Array]:
    """Run @main of a tile program; returns the outputs in order.

    `inputs` in the order of the function's `npucc.inputs`. Buffers start as NaN (integers: bytes 0x5a), so
    that a read of what was never written shows. NpuError for inputs that do not fit, views out of bounds and
    programs that are not runnable.
    """
    main = main_function(module)
    input_names, output_names = signature(main)
    arguments = list(main.body.block.args)
    if len(arguments) != len(input_names) + len(output_names) or len(inputs) != len(input_names):
        raise NpuError(
            BAD_PROGRAM,
            "arguments of @main are its inputs, then its outputs",
            found=f"{len(arguments)} arguments, {len(input_names)} inputs and {len(output_names)} outputs by "
            f"name, {len(inputs)} arrays given",
            remedy="name every argument in npucc.inputs or npucc.outputs and give one array per input",
        )
    machine = _Machine(constants)
    for name, argument, array in zip(input_names, arguments, inputs):
        machine.load(argument, array, f"input {name}")
    results = arguments[len(input_names) :]
    for argument in results:
        machine.make_buffer(argument)
    machine.run_block(main.body.block)
    return [machine.buffers[value].reshape(memref_of(value).get_shape()) for value in results]


def undefined(shape: int, dtype: np.dtype[np.generic]) -> Array:
    """Contents of memory nobody wrote: NaN, or 0x5a in every byte of an integer (bool: True)."""
    if compute.is_floating(dtype):
        return np.full(shape, np.nan, dtype)
    if dtype == np.bool_:
        return np.ones(shape, dtype)
    return np.full(shape * dtype.itemsize, 0x5A, np.uint8).view(dtype)


@dataclass
class _Machine:
    """State of a run: flat arrays of the buffers, values of the loop counters, and cached analyses."""

    constants: ConstantStore
    buffers: dict[SSAValue, Array] = field(default_factory=dict[SSAValue, Array])
    counters: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    views: dict[SSAValue, View] = field(default_factory=dict[SSAValue, View])
    bounds: dict[Operation, LoopBounds] = field(default_factory=dict[Operation, LoopBounds])
    indices: dict[SSAValue, LinearIndex] = field(default_factory=dict[SSAValue, LinearIndex])

    def load(self, value: SSAValue, array: Array, what: str) -> None:
        """Bind a buffer to a copy of `array`, which must have its shape; the element type converts."""
        type_ = memref_of(value)
        if array.shape != type_.get_shape():
            raise NpuError(
                BAD_PROGRAM,
                f"{what} has the wrong shape",
                found=f"{array.shape}, expected {type_.get_shape()}",
                remedy="give an array of that shape",
            )
        self.buffers[value] = np.array(array, numpy_dtype(type_.element_type)).reshape(-1)

    def make_buffer(self, value: SSAValue) -> None:
        """Bind a buffer with undefined contents."""
        type_ = memref_of(value)
        elements = int(np.prod(type_.get_shape(), dtype=np.int64))
        self.buffers[value] = undefined(elements, numpy_dtype(type_.element_type))

    def run_block(self, block: Block) -> None:
        """Run the operations of a block in order."""
        for op in block.ops:
            self.run_op(op)

    def run_op(self, op: Operation) -> None:
        """Run one operation (index arithmetic and views are evaluated where they are used)."""
        if isinstance(op, InstructionOp):
            self._run_instruction(op)
        elif isinstance(op, AcquireOp | AllocOp):
            self.make_buffer(op.result)
        elif isinstance(op, ConstantOp):
            self._load_constant(op)
        elif isinstance(op, GroupOp):
            self.run_block(op.body.block)
        elif isinstance(op, scf.ForOp):
            self._run_loop(op)
        elif isinstance(op, memref.LoadOp):
            self.counters[op.res] = int(self.array(op.memref).reshape(-1)[0])
        elif isinstance(op, scf.WhileOp):
            self._run_while(op)
        elif isinstance(op, scf.IfOp):
            region = op.true_region if scalar_value(op.cond, self.counters) else op.false_region
            for block in region.blocks:
                self.run_block(block)

    def _load_constant(self, op: ConstantOp) -> None:
        symbol = op.symbol.data
        if symbol not in self.constants:
            raise NpuError(
                BAD_PROGRAM,
                "the constant store has no such symbol",
                found=f"@{symbol}",
                remedy="give the constants that belong to this module",
            )
        self.load(op.result, self.constants[symbol], f"constant @{symbol}")

    def _run_loop(self, op: scf.ForOp) -> None:
        if op not in self.bounds:
            self.bounds[op] = loop_bounds(op)
        block = op.body.block
        for value in self.bounds[op].values():
            self.counters[block.args[0]] = value
            self.run_block(block)

    def _run_while(self, op: scf.WhileOp) -> None:
        before, after = op.before_region.block, op.after_region.block
        values = [scalar_value(value, self.counters) for value in op.arguments]
        while True:
            self.counters.update(zip(before.args, values))
            self.run_block(before)
            condition, last = before.last_op, after.last_op
            if not isinstance(condition, scf.ConditionOp) or not isinstance(last, scf.YieldOp):
                found, remedy = str(condition and condition.name), "end the regions with scf.condition and scf.yield"
                raise NpuError(BAD_PROGRAM, "a loop has no condition", "scf.while", found, remedy)
            if not scalar_value(condition.condition, self.counters):
                return
            passed = [scalar_value(value, self.counters) for value in condition.args]
            self.counters.update(zip(after.args, passed))
            self.run_block(after)
            values = [scalar_value(value, self.counters) for value in last.operands]

    def array(self, value: SSAValue) -> Array:
        """The present contents of a memref value, as a view of its buffer."""
        if value not in self.views:
            self.views[value] = resolve_view(value)
        view = self.views[value]
        buffer = self.buffers[view.root]
        offset = view.offset.evaluate(self.counters)
        low, high = view.element_range()
        if low != high and (offset + low < 0 or offset + high > buffer.size):
            raise NpuError(
                OUT_OF_BOUNDS,
                "a view leaves its buffer",
                where=f"%{value.name_hint} of %{view.root.name_hint}",
                found=f"elements {offset + low} to {offset + high} of {buffer.size}",
                remedy="mend the offsets of the subview",
            )
        buffer = buffer if view.element is None else buffer.view(numpy_dtype(view.element))
        return compute.strided(buffer, offset if low != high else 0, view.dims, view.strides)

    def _accumulates(self, op: AccumulatingOp) -> bool:
        if op.accumulate is None:
            return False
        if op.accumulate not in self.indices:
            self.indices[op.accumulate] = linear_index(op.accumulate)
        return self.indices[op.accumulate].evaluate(self.counters) != 0

    def _run_instruction(self, op: InstructionOp) -> None:
        if isinstance(op, SyncOp):
            return
        target = op.writes()[0]  # others are scratch
        destination = self.array(target)
        with np.errstate(all="ignore"):
            result = self._result(op, destination)
            destination[...] = converted(result, destination.dtype)

    def _result(self, op: InstructionOp, dst: Array) -> Array:
        match op:
            case CopyOp():
                return self.array(op.src)
            case FillOp():
                return np.asarray(op.fill_value)
            case GemmOp():
                product = compute.gemm(self.array(op.a), self.array(op.b), op.maps, dst.dtype)
                return dst + product if self._accumulates(op) else product
            case ConvOp():
                x, w, out = self.array(op.x), self.array(op.w), dst.shape[1:3]
                result = compute.conv(x, w, out, op.geometry, op.groups.value.data, dst.dtype)
                return dst + result if self._accumulates(op) else result
            case DwconvOp():
                return compute.depthwise(self.array(op.x), self.array(op.w), dst.shape[1:3], op.geometry)
            case ReduceOp():
                previous = dst if self._accumulates(op) else None
                return compute.reduce(self.array(op.src), op.fn.data, op.axes.get_values(), previous)
            case WindowOp():
                axes, sizes = op.axes.get_values(), op.sizes.get_values()
                out = [dst.shape[axis] for axis in axes]
                return compute.window(self.array(op.src), op.fn.data, axes, sizes, out, op.geometry)
            case NormOp():
                return compute.norm(self.array(op.src), op.fn.data)
            case SortOp():
                axis = op.axis.value.data
                lines = np.moveaxis(self.array(op.src), axis, -1)
                places = numpy_order.argsort(lines, dst.shape[axis], bool(op.descending.value.data))
                return np.moveaxis(places, -1, axis)
            case ScanOp():
                return self._scan(op, dst)
            case CompressOp():
                return self._compress(op, dst)
            case GatherOp():
                return numpy_indexed.gather(self.array(op.src), self.array(op.indices))
            case ScatterOp():
                return numpy_indexed.scatter(dst, self.array(op.indices), self.array(op.src), op.fn.data)
            case MapOp():
                return self._map(op, dst)
            case _:
                raise NotImplementedError(f"{op.name} has no meaning in npucc/interpreters/tile.py")

    def _scan(self, op: ScanOp, dst: Array) -> Array:
        src = self.array(op.src)
        wide = np.result_type(compute.reduction_type(src.dtype), compute.reduction_type(dst.dtype))
        flags = bool(op.exclusive.value.data), bool(op.reverse.value.data)
        axis = op.axis.value.data
        return np.moveaxis(numpy_order.scan(np.moveaxis(src.astype(wide), axis, -1), op.fn.data, *flags), -1, axis)

    def _compress(self, op: CompressOp, dst: Array) -> Array:
        mask, count = self.array(op.mask), dst.shape[-1]
        places = numpy_order.nonzero(mask, count)
        if op.values is None:
            return places if op.padding.value.data == numpy_order.PADDING else self._padded(places, places, op)
        return self._padded(numpy_order.compress(self.array(op.values), mask, count), places, op)

    @staticmethod
    def _padded(values: Array, places: Array, op: CompressOp) -> Array:
        return np.where(places == numpy_order.PADDING, op.padding.value.data, values)

    def _map(self, op: MapOp, dst: Array) -> Array:
        arguments: list[Array] = []
        for value, map_, argument in zip(op.inputs, op.affine_maps, op.body.block.args):
            source = compute.aligned(self.array(value), map_, range(dst.ndim))
            arguments.append(converted(source, numpy_dtype(argument.type)))
        terminator = op.body.block.last_op
        assert isinstance(terminator, YieldOp)
        result = evaluate_body(op.body.block, arguments)[terminator.value]
        return np.broadcast_to(result, dst.shape)
