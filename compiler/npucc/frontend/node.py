"""What an importer function sees of an ONNX node: typed attributes with schema defaults, inputs, known values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, helper
from xdsl.ir import SSAValue

from npucc.frontend.builder import GraphBuilder, Shape
from npucc.frontend.problems import Malformed, NeedsValue
from npucc.types import Array, shape_of

Value = SSAValue | Array
"""A tensor during the import: a value of the graph, or an array that is known and not (yet) in the graph."""


@dataclass(frozen=True)
class Bounded:
    """An output whose shape depends on data: `value` has the bound's static shape, its leading box is valid.

    `extents[i]` is the size of axis i at run time: an i64 tensor of shape () or [1] that the device computes, or a
    static size. What lies outside of the box is undefined. Whatever reads the output runs in a later program, which is
    compiled for the sizes found.
    """

    value: SSAValue
    extents: tuple[SSAValue | int, ...]


@dataclass(eq=False)
class ByStep:
    """A value of a loop's body that is known in every step: row t of `table` [steps, ...] in step t."""

    table: Array
    row: Callable[[Array], SSAValue]
    """Makes the value of the step at hand from a table."""
    made: SSAValue | None = None

    def value(self) -> SSAValue:
        """The value as the body sees it."""
        if self.made is None:
            self.made = self.row(self.table)
        return self.made


Output = Value | Bounded
"""What an importer function may return for an output."""


@dataclass
class ImportNode:
    """One node. `domain` is "" for ONNX's own ops; `opset` is the version of that domain; `inputs` has None for
    inputs left out; `by_step` has those inputs whose values are known in every step of the loop around."""

    proto: NodeProto
    label: str
    domain: str
    opset: int
    inputs: Sequence[Value | None]
    build: GraphBuilder
    by_step: Mapping[int, ByStep] = field(default_factory=dict[int, ByStep])

    def __post_init__(self) -> None:
        self._attributes = {attribute.name: attribute for attribute in self.proto.attribute}
        self._values: dict[int, SSAValue] = {}

    @property
    def op_type(self) -> str:
        """The op's name."""
        return self.proto.op_type

    @property
    def schema(self) -> onnx.defs.OpSchema | None:
        """onnx's schema of the op at this opset version; None for ops that onnx does not know."""
        if not onnx.defs.has(self.op_type, self.opset, self.domain):
            return None
        return onnx.defs.get_schema(self.op_type, self.opset, self.domain)

    # Inputs and outputs

    def has(self, index: int) -> bool:
        """Whether input `index` is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> SSAValue:
        """Input `index` as a value of the graph (a known array becomes a constant)."""
        if index not in self._values:
            value = self.inputs[index] if index < len(self.inputs) else None
            if value is None:
                raise Malformed(f"input {index} is required", f"{len(self.inputs)} inputs")
            if not isinstance(value, SSAValue):
                name = self.proto.input[index] or f"{self.label}.input{index}"
                value = self.build.constant(value, name)
            self._values[index] = value
        return self._values[index]

    def optional(self, index: int) -> SSAValue | None:
        """Input `index`, or None if it is left out."""
        return self.input(index) if self.has(index) else None

    def all_inputs(self) -> list[SSAValue]:
        """Every input of a variadic op."""
        return [self.input(index) for index in range(len(self.inputs))]

    def shape(self, index: int) -> Shape:
        """Shape of input `index`."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise Malformed(f"input {index} is required", f"{len(self.inputs)} inputs")
        return shape_of(value) if isinstance(value, SSAValue) else value.shape

    def known(self, index: int) -> Array | None:
        """The array of input `index` if it is known at import."""
        value = self.inputs[index] if index < len(self.inputs) else None
        return self.build.known(value) if isinstance(value, SSAValue) else value

    def constant(self, index: int, what: str) -> Array:
        """The array of input `index`; Unsupported if it is only known when the model runs."""
        array = self.known(index)
        if array is None:
            rule = f"`{what}` (input {index}) is known when the model is compiled"
            found, remedy = "a value computed from the model's inputs", "make it a constant of the model"
            raise NeedsValue(rule, found, remedy, index, self.inputs[index])
        return array

    def constant_ints(self, index: int, what: str) -> list[int]:
        """The integers of a known 1-D (or scalar) input."""
        array = self.constant(index, what)
        if array.dtype.kind not in "iu":
            raise Malformed(f"`{what}` (input {index}) holds integers", f"{array.dtype}")
        return [int(item) for item in array.reshape(-1)]

    def uses_output(self, index: int) -> bool:
        """Whether optional output `index` has a name, so that something may read it."""
        return index < len(self.proto.output) and bool(self.proto.output[index])

    # Attributes

    def has_attribute(self, name: str) -> bool:
        """Whether the node itself sets attribute `name`."""
        return name in self._attributes

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute: as set, else the schema's default, else `default`."""
        attribute = self._attributes.get(name)
        if attribute is None:
            schema = self.schema
            declared = schema.attributes.get(name) if schema else None
            attribute = declared.default_value if declared and declared.default_value.name else None
        if attribute is None or attribute.type == AttributeProto.UNDEFINED:
            return default
        value = helper.get_attribute_value(attribute)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def integer(self, name: str, default: int = 0) -> int:
        """An integer attribute."""
        return int(self.attribute(name, default))

    def number(self, name: str, default: float = 0.0) -> float:
        """A float attribute. ONNX stores f32, so a tensor of f64 meets the rounded value too."""
        with np.errstate(over="ignore"):
            return float(np.float32(self.attribute(name, default)))

    def text(self, name: str, default: str = "") -> str:
        """A string attribute."""
        return str(self.attribute(name, default))

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """A list of integers."""
        return [int(item) for item in self.attribute(name, default)]

    def numbers(self, name: str, default: Sequence[float] = ()) -> list[float]:
        """A list of floats."""
        return [float(item) for item in self.attribute(name, default)]

    def axis(self, name: str, rank: int, default: int = 0) -> int:
        """An axis attribute, counted from the front."""
        return self.wrap_axis(self.integer(name, default), rank)

    def wrap_axis(self, axis: int, rank: int) -> int:
        """`axis` counted from the front; Malformed outside [-rank, rank)."""
        if not -rank <= axis < rank:
            raise Malformed(f"an axis of a rank-{rank} tensor lies in [{-rank}, {rank - 1}]", f"axis {axis}")
        return axis % rank

    def axes(self, rank: int, index: int = 1, name: str = "axes") -> list[int] | None:
        """Axes from input `index` (newer opsets) or attribute `name`, counted from the front; None if absent."""
        if self.has(index):
            axes = self.constant_ints(index, name)
        elif self.has_attribute(name):
            axes = self.integers(name)
        else:
            return None
        wrapped = [self.wrap_axis(axis, rank) for axis in axes]
        if len(set(wrapped)) != len(wrapped):
            raise Malformed("axes are distinct", f"axes {axes}")
        return wrapped
