"""Makes graph ops for importer functions: provenance, constants beside the IR, movement of constants done at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, Block, SSAValue

from npucc.constants import ConstantStore
from npucc.dialects import graph
from npucc.element_conversion import converted, reinterpreted
from npucc.frontend.problems import Unsupported
from npucc.frontend.tensors import MAX_ELEMENTS
from npucc.types import (
    Array,
    element_of,
    element_of_numpy,
    element_type,
    integer_limits,
    is_float,
    numpy_dtype,
    shape_of,
    tensor_of,
)

TENSOR = "tensor"
"""Discardable attribute of an op whose result is, in ONNX's own layout, the ONNX tensor of that name."""

MAX_OPS = 50_000
"""Most ops of an imported model, dead ones counted; passes take time in proportion."""

Shape = tuple[int, ...]


def wide_element(x: SSAValue) -> Attribute:
    """The type in which sums and squares of x are kept: f32 for narrower floats, else its own."""
    element = element_of(x)
    return element_type("f32") if is_float(element) and numpy_dtype(element).itemsize <= 2 else element


def _holds(dtype: np.dtype[Any], number: int) -> bool:
    """Whether an integer type (or bool) has this value."""
    low, high = integer_limits(element_of_numpy(dtype))
    return low <= number <= high


class GraphBuilder:
    """Appends ops to a block. `node` is the name of the ONNX node whose import is running.

    A value whose array is known (a constant) stays known through `transpose`, `reshape`, `slice`, `expand` and
    `cast`: these make a new constant (a NumPy view where possible) instead of an op.
    """

    def __init__(self, block: Block, constants: ConstantStore) -> None:
        self.block = block
        self.top = block
        """Where constants go: bodies of loops and branches see them."""
        self.constants = constants
        self.node = ""
        self.executions = 1
        """How often the block at hand runs, as far as known."""
        self.count = 0
        self.meanings: dict[SSAValue, object] = {}
        """What importers know of values beyond their type (see `dequantized`)."""
        self._known: dict[SSAValue, tuple[str, Array]] = {}
        self._made: dict[tuple[int, str], SSAValue] = {}
        self._scalars: dict[tuple[str, bytes], SSAValue] = {}

    def scratch(self) -> GraphBuilder:
        """A builder that knows what this one knows, and whose ops are thrown away."""
        other = GraphBuilder(Block(), ConstantStore())
        other.node, other.executions, other.count = self.node, self.executions, self.count
        other.meanings.update(self.meanings)
        other._known.update(self._known)
        return other

    # Values

    def emit(self, op: graph.GraphOp) -> SSAValue:
        """Append `op` and record the ONNX node that it comes from; a result without elements is a constant."""
        if not isinstance(op, graph.ConstantOp) and not all(op.result_type.get_shape()):
            empty = np.zeros(op.result_type.get_shape(), numpy_dtype(op.result_type.element_type))
            op.erase()
            return self.constant(empty, f"{self.node}.empty")
        if math.prod(op.result_type.get_shape()) > MAX_ELEMENTS:
            found = f"a result of shape {list(op.result_type.get_shape())}"
            raise Unsupported(f"a tensor has at most {MAX_ELEMENTS} elements", found, "use smaller input shapes")
        self.count += 1
        if self.count > MAX_OPS:
            rule = f"a model has at most {MAX_OPS} ops after loops are unrolled"
            raise Unsupported(rule, "more", "use fewer time steps, or compile parts of the model")
        block = self.top if isinstance(op, graph.ConstantOp) else self.block
        block.add_op(graph.with_nodes(op, [self.node] if self.node else []))
        return op.result

    def constant(self, array: Array, name: str) -> SSAValue:
        """A constant tensor; the array goes into the store under (a unique form of) `name`, the same one once."""
        made = self._made.get((id(array), name))
        if made is not None:
            return made
        try:
            element_of_numpy(array.dtype)
        except KeyError:
            raise Unsupported("tensors have an element type of the machine", f"type {array.dtype}") from None
        symbol = self.constants.add(name, array)
        value = self.emit(graph.ConstantOp(symbol, tensor_of(array)))
        self._known[value] = (name, array)
        self._made[id(array), name] = value  # `_known` keeps the array, so that its id stays its own
        return value

    def scalar(self, number: float, like: SSAValue) -> SSAValue:
        """A rank-0 constant of the element type of `like`; made once per value."""
        return self.scalar_of(number, element_of(like))

    def scalar_of(self, number: float, element: Attribute) -> SSAValue:
        """A rank-0 constant of an element type; made once per value."""
        dtype = numpy_dtype(element)
        if not is_float(element) and not (float(number).is_integer() and _holds(dtype, int(number))):
            found, remedy = f"{number:g} for elements of {dtype}", "cast the tensor to a float type before this node"
            raise Unsupported("a number that is combined with integers is one of their type", found, remedy)
        array = np.asarray(number).astype(dtype)
        key = (str(array.dtype), array.tobytes())
        if key not in self._scalars:
            self._scalars[key] = self.constant(array, f"scalar_{array.dtype}_{number:g}")
        return self._scalars[key]

    def known(self, value: SSAValue) -> Array | None:
        """The array of a constant value."""
        entry = self._known.get(value)
        return entry[1] if entry else None

    def _derived(self, value: SSAValue, array: Array) -> SSAValue:
        return self.constant(array, self._known[value][0])

    # Movement

    def reshape(self, x: SSAValue, shape: Sequence[int]) -> SSAValue:
        """Row-major reinterpretation; nothing if the shape is the same."""
        if shape_of(x) == tuple(shape):
            return x
        array = self.known(x)
        if array is not None:
            return self._derived(x, array.reshape(tuple(shape)))
        return self.emit(graph.ReshapeOp(x, tuple(shape)))

    def transpose(self, x: SSAValue, perm: Sequence[int]) -> SSAValue:
        """Axis i of the result is axis `perm[i]` of x; nothing for the identity."""
        if list(perm) == list(range(len(perm))):
            return x
        array = self.known(x)
        if array is not None:
            return self._derived(x, array.transpose(tuple(perm)))
        return self.emit(graph.TransposeOp(x, tuple(perm)))

    def slice(self, x: SSAValue, starts: Sequence[int], steps: Sequence[int], sizes: Sequence[int]) -> SSAValue:
        """Element i of an axis is element `start + i * step` (negative steps allowed); nothing for the identity."""
        if tuple(sizes) == shape_of(x) and not any(starts) and all(step == 1 for step in steps):
            return x
        array = self.known(x)
        if array is not None:
            index = tuple(
                slice(start, None if (end := start + step * size) < 0 else end, step) if size else slice(0, 0)
                for start, step, size in zip(starts, steps, sizes)
            )
            return self._derived(x, array[index])
        return self.emit(graph.SliceOp(x, tuple(starts), tuple(steps), tuple(sizes)))

    def slice_axis(self, x: SSAValue, axis: int, start: int, size: int, step: int = 1) -> SSAValue:
        """`slice` of one axis."""
        shape = shape_of(x)
        starts, steps, sizes = [0] * len(shape), [1] * len(shape), list(shape)
        starts[axis], steps[axis], sizes[axis] = start, step, size
        return self.slice(x, starts, steps, sizes)

    def expand(self, x: SSAValue, shape: Sequence[int]) -> SSAValue:
        """Broadcast to exactly `shape`; nothing if it is the same."""
        if shape_of(x) == tuple(shape):
            return x
        array = self.known(x)
        if array is not None:
            return self._derived(x, np.broadcast_to(array, tuple(shape)))
        return self.emit(graph.ExpandOp(x, tuple(shape)))

    def concat(self, values: Sequence[SSAValue], axis: int) -> SSAValue:
        """Join along `axis`; a single value is returned as it is, empty pieces are left out."""
        filled = [value for value in values if shape_of(value)[axis]] or list(values[:1])
        if len(filled) == 1:
            return filled[0]
        arrays = [array for value in filled if (array := self.known(value)) is not None]
        if len(arrays) == len(filled):
            return self._derived(filled[0], np.concatenate(arrays, axis))
        return self.emit(graph.ConcatOp(filled, axis))

    def cast(self, x: SSAValue, element: Attribute) -> SSAValue:
        """Convert the elements; nothing if they have the type."""
        if element_of(x) == element:
            return x
        array = self.known(x)
        if array is not None:
            return self._derived(x, converted(array, numpy_dtype(element)))
        return self.emit(graph.CastOp(x, element))

    def bitcast(self, x: SSAValue, element: Attribute) -> SSAValue:
        """The bits of the elements as another type of the same width; nothing if they have the type."""
        if element_of(x) == element:
            return x
        array = self.known(x)
        if array is not None:
            return self._derived(x, reinterpreted(array, numpy_dtype(element)))
        return self.emit(graph.BitcastOp(x, element))

    # Arithmetic

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a + b."""
        return self.emit(graph.AddOp(a, b))

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a - b."""
        return self.emit(graph.SubOp(a, b))

    def mul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a * b."""
        return self.emit(graph.MulOp(a, b))

    def scaled(self, x: SSAValue, factor: float) -> SSAValue:
        """x * factor; nothing for 1."""
        return x if factor == 1 else self.mul(x, self.scalar(factor, x))

    def shifted(self, x: SSAValue, term: float) -> SSAValue:
        """x + term; nothing for 0."""
        return x if term == 0 else self.add(x, self.scalar(term, x))

    def div(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """a / b."""
        return self.emit(graph.DivOp(a, b))

    def divided(self, x: SSAValue, divisor: float) -> SSAValue:
        """x / divisor; a product where the reciprocal is exact, nothing for 1."""
        if is_float(element_of(x)) and abs(math.frexp(divisor)[0]) == 0.5:
            return self.scaled(x, 1.0 / divisor)
        return x if divisor == 1 else self.div(x, self.scalar(divisor, x))

    def sqrt(self, x: SSAValue) -> SSAValue:
        """Square root."""
        return self.emit(graph.SqrtOp(x))

    def matmul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        """Matrix product of the last two axes."""
        return self.emit(graph.MatmulOp(a, b))

    def reduce(self, x: SSAValue, fn: str, axes: Sequence[int], element: Attribute | None = None) -> SSAValue:
        """Reduce `axes` (kept with size 1); nothing for no axes. Nothing reduced gives the neutral element of `fn`.

        The result has the element type `element`, or that of x.
        """
        shape = shape_of(x)
        if axes and not all(shape[axis] for axis in axes):
            kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
            neutral = np.asarray(_neutral(fn, numpy_dtype(element or element_of(x))))
            return self.constant(np.broadcast_to(neutral, kept), f"{self.node}.neutral")
        return self.emit(graph.ReduceOp(x, fn, tuple(sorted(axes)), element)) if axes else x

    def neutral(self, fn: str, element: Attribute) -> Array:
        """The rank-0 array that changes nothing in a reduction by `fn`."""
        return np.asarray(_neutral(fn, numpy_dtype(element)))

    def mean(self, x: SSAValue, axes: Sequence[int]) -> SSAValue:
        """Mean over `axes` (kept with size 1), in the type of x; integers truncate."""
        return self.cast(self.wide_mean(x, axes), element_of(x))

    def wide_mean(self, x: SSAValue, axes: Sequence[int]) -> SSAValue:
        """Mean over `axes` (kept with size 1); that of f16 and bf16 is f32, whose sum and count do not overflow."""
        count, element = math.prod(shape_of(x)[axis] for axis in axes), wide_element(x)
        if not axes:
            return self.cast(x, element)
        total = self.reduce(x, "sum", axes, element)
        return self.divided(total, count) if count else total

    def widened(self, x: SSAValue) -> SSAValue:
        """f16 and bf16 as f32; other types as they are."""
        return self.cast(x, wide_element(x))

    # Provenance

    def name_tensor(self, value: SSAValue, name: str) -> None:
        """Record that `value` is the ONNX tensor `name`, for comparison layer by layer."""
        owner = value.owner
        single = not isinstance(owner, Block) and len(owner.results) == 1
        if not isinstance(owner, Block) and single and TENSOR not in owner.attributes:
            owner.attributes[TENSOR] = StringAttr(name)


def _neutral(fn: str, dtype: np.dtype[Any]) -> Array:
    """What changes nothing: 0 for a sum, 1 for a product, the least value for a maximum, the greatest for a minimum."""
    if fn in ("sum", "prod"):
        return np.asarray(int(fn == "prod")).astype(dtype)
    if dtype == np.bool_:
        return np.asarray(fn == "min")
    if is_float(element_of_numpy(dtype)):
        return np.asarray(-np.inf if fn == "max" else np.inf).astype(dtype)
    low, high = integer_limits(element_of_numpy(dtype))
    return np.asarray(low if fn == "max" else high).astype(dtype)
