"""A graph that grows node by node, with the values of all its tensors: what random models are drawn on.

Each candidate node is run by ONNX's reference evaluator, alone, and checked with the shapes it gave, before it is
taken; so a finished graph is valid, its shapes are known and no value in it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = np.ndarray[Any, Any]

IR_VERSION = 10
"""The newest that onnxruntime and all opsets drawn here understand."""

FLOATS = ("float32", "float16", "float64", "bfloat16")
INTEGERS = ("int32", "int64", "int8", "uint8", "int16", "uint16", "uint32", "uint64")
NARROW = ("float8_e4m3fn", "float8_e5m2", "int4", "uint4")
"""Types that few ops take: casts and movement."""
TYPES = {
    name: np.dtype(getattr(ml_dtypes, name) if name in (*NARROW, "bfloat16") else name)
    for name in (*FLOATS, *INTEGERS, "bool", *NARROW)
}
_TYPE_STRINGS = {
    "float32": "float",
    "float64": "double",
    "float8_e4m3fn": "float8e4m3fn",
    "float8_e5m2": "float8e5m2",
}
LARGEST = 1e6
"""Finite floats stay below (f16: by its range), so that conversions to integers are defined."""


def type_string(dtype: np.dtype[Any]) -> str:
    """The type as schemas spell it: tensor(float)."""
    return f"tensor({_TYPE_STRINGS.get(dtype.name, dtype.name)})"


class Choices(Protocol):
    """Who decides what a model looks like."""

    def integer(self, low: int, high: int) -> int:
        """An integer of the range; the lowest is the simplest."""
        ...

    def permutation(self, size: int) -> list[int]:
        """An order of 0 .. size - 1."""
        ...


@dataclass(frozen=True)
class HypothesisChoices:
    """Hypothesis decides: it can make a model smaller, but its examples resemble each other."""

    draw: st.DrawFn

    def integer(self, low: int, high: int) -> int:
        """See `Choices`."""
        return self.draw(st.integers(low, high))

    def permutation(self, size: int) -> list[int]:
        """See `Choices`."""
        return list(self.draw(st.permutations(range(size))))


@dataclass(frozen=True)
class RandomChoices:
    """Chance decides: every model is independent of all others."""

    random: Random

    def integer(self, low: int, high: int) -> int:
        """See `Choices`."""
        return self.random.randint(low, high)

    def permutation(self, size: int) -> list[int]:
        """See `Choices`."""
        return self.random.sample(range(size), size)


class Rejected(Exception):
    """The drawn node does not fit: not in this opset, no operand of its types, an undefined value."""


@dataclass
class Graph:
    """Nodes so far, and of every tensor its value. `inputs` are given at run time, `constants` are initializers."""

    choices: Choices
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    values: dict[str, Array] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)
    _count: int = 0

    # --- choices --------------------------------------------------------------------------------------------

    def choose(self, options: Sequence[Any]) -> Any:
        """One of `options`; the first one is the simplest."""
        if not options:
            raise Rejected
        return options[self.choices.integer(0, len(options) - 1)]

    def integer(self, low: int, high: int) -> int:
        """An integer of the range."""
        if low > high:
            raise Rejected
        return self.choices.integer(low, high)

    def coin(self) -> bool:
        """Either."""
        return bool(self.choices.integer(0, 1))

    def permutation(self, size: int) -> list[int]:
        """An order of 0 .. size - 1."""
        return self.choices.permutation(size)

    def axis(self, rank: int) -> int:
        """An axis of a tensor, sometimes counted from the end."""
        if not rank:
            raise Rejected
        axis = self.integer(0, rank - 1)
        return axis - rank if self.coin() else axis

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        """Small dims; 1 and 0 more often than chance would have it."""
        rank = self.integer(0, 4) if rank is None else rank
        return tuple(self.choose([2, 3, 1, 4, 5, 7, 1, 0]) for _ in range(rank))

    # --- tensors --------------------------------------------------------------------------------------------

    def schema(self, op: str) -> onnx.defs.OpSchema:
        """The op's schema in this opset."""
        try:
            found = onnx.defs.get_schema(op, self.opset, "")
        except onnx.defs.SchemaError:
            raise Rejected from None
        if found.deprecated:
            raise Rejected
        return found

    def types_of(self, op: str, position: int = 0) -> list[str]:
        """NumPy names of the element types that the op's input takes."""
        schema = self.schema(op)
        formal = schema.inputs[min(position, len(schema.inputs) - 1)]
        found = [name for name, dtype in TYPES.items() if type_string(dtype) in formal.types]
        if not found:
            raise Rejected
        return found

    def pick(self, types: Sequence[str], fits: Callable[[Array], bool] = lambda _: True, dims: Any = None) -> str:
        """A tensor of one of these types that fits: one there is, mostly, or a new one of shape `dims`."""
        known = [
            name for name, value in self.values.items()
            if value.dtype.name in types and fits(value) and (dims is None or value.shape == tuple(dims))
        ]  # fmt: skip
        if known and self.integer(0, 3):
            return self.choose(known[::-1])
        dtype = TYPES[self.choose(types)]
        value = self.numbers(dtype, self.shape() if dims is None else tuple(dims))
        if not fits(value):
            raise Rejected
        return self.feed(value)

    def feed(self, value: Array) -> str:
        """A new tensor: an input of the model or an initializer."""
        return self.input(value) if self.coin() else self.constant(value)

    def input(self, value: Array) -> str:
        """A new input of the model."""
        name = self._named("x", value)
        self.inputs.append(name)
        return name

    def constant(self, value: Any, dtype: str = "int64") -> str:
        """A new initializer; what is no array becomes one of type `dtype`."""
        array = value if isinstance(value, np.ndarray) else np.array(value, TYPES[dtype])
        name = self._named("c", array)
        self.constants[name] = array
        return name

    def numbers(self, dtype: np.dtype[Any], shape: tuple[int, ...], positive: bool = False) -> Array:
        """Values of one kind: quarters, normally distributed ones, or with the ends of the type among them."""
        rng = np.random.default_rng(self.integer(0, 999))
        kind = self.choose(["plain", "normal", "edges"])
        if dtype.name in NARROW:
            return (rng.integers(0 if dtype.name == "uint4" else -7, 8, shape) + 0.0).astype(dtype)
        if dtype == np.bool_:
            return rng.integers(0, 2, shape).astype(np.bool_)
        if dtype.name in FLOATS:
            values = rng.integers(-12, 13, shape) / 4 if kind == "plain" else rng.standard_normal(shape) * 2
            if kind == "edges":
                ends = np.array([0.0, -0.0, 1.0, -1.0, 1e-3, 100.0, 0.5, 2.5])
                values = np.where(rng.random(shape) < 0.5, rng.choice(ends, shape), values)
            return (np.abs(values) + 0.25 if positive else values).astype(dtype)
        info = np.iinfo(dtype)
        values = rng.integers(-5 if info.min else 0, 10, shape).astype(dtype)
        if kind == "edges" and not positive:
            ends = np.array([info.min, info.max, 0, 1], dtype)
            values = np.where(rng.random(shape) < 0.3, rng.choice(ends, shape), values).astype(dtype)
        return (np.abs(values) + np.array(1, dtype)).astype(dtype) if positive else values

    def _named(self, prefix: str, value: Array) -> str:
        self._count += 1
        name = f"{prefix}{self._count}"
        self.values[name] = value
        return name

    # --- nodes ----------------------------------------------------------------------------------------------

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """Append a node if it is legal and its values are defined; names of its results."""
        schema = self.schema(op)
        if not schema.min_input <= len(inputs) <= schema.max_input or set(attributes) - set(schema.attributes):
            raise Rejected
        names = [f"t{self._count + 1 + place}" for place in range(outputs)]
        given = {name: value for name, value in attributes.items() if value is not None}
        node = helper.make_node(op, list(inputs), names, name=f"{op}_{self._count}", **given)
        results = self._run(node)
        self._count += outputs
        self.nodes.append(node)
        for name, value in zip(names, results):
            self.values[name] = value
            self.results.append(name)
        return names

    def _run(self, node: onnx.NodeProto) -> list[Array]:
        used = {name: self.values[name] for name in names_read(node)}
        graph = helper.make_graph([node], "node", [tensor_info(*item) for item in used.items()],
                                  [onnx.ValueInfoProto(name=name) for name in node.output])  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION)
        try:
            with np.errstate(all="ignore"):
                found = ReferenceEvaluator(model).run(None, used)
        except Exception:
            raise Rejected from None
        results = [np.asarray(value) for value in found]
        if any(not defined(value) for value in results):
            raise Rejected
        del graph.output[:]
        graph.output.extend(tensor_info(*item) for item in zip(node.output, results))
        model.graph.CopyFrom(graph)
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
            raise Rejected from None
        return results


def names_read(node: onnx.NodeProto) -> list[str]:
    """Tensors that a node reads, those that its bodies take from around them included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            body = attribute.g
            own = {info.name for info in body.input} | {tensor.name for tensor in body.initializer}
            own |= {name for inner in body.node for name in inner.output}
            names += [name for inner in body.node for name in names_read(inner) if name not in own]
    return list(dict.fromkeys(names))


def defined(value: Array) -> bool:
    """Whether a value may be read by any op: a type that is drawn here, finite and not too large."""
    if value.dtype.name not in TYPES or value.size > 4096:
        return False
    if value.dtype.name not in FLOATS:
        return True
    wide = value.astype(np.float64)
    return bool(np.all(np.isfinite(wide)) and np.all(np.abs(wide) < (1e4 if value.dtype == np.float16 else LARGEST)))


def tensor_info(name: str, value: Array) -> onnx.ValueInfoProto:
    """The typed name of a tensor with this value."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def finished(graph: Graph) -> onnx.ModelProto:
    """The model: what no node reads are its outputs, and some tensor that one reads."""
    read = {name for node in graph.nodes for name in names_read(node)}
    outputs = [name for name in graph.results if name not in read] or graph.results[-1:]
    initializers: list[TensorProto] = [numpy_helper.from_array(v, name) for name, v in graph.constants.items()]
    made = helper.make_graph(
        graph.nodes,
        "random",
        [tensor_info(name, graph.values[name]) for name in graph.inputs],
        [tensor_info(name, graph.values[name]) for name in outputs],
        initializers,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", graph.opset)], ir_version=IR_VERSION)
