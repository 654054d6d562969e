"""Concrete shapes of the graph inputs: symbolic sizes are bound by name or by the shapes of given inputs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from npuisa.errors import NpuError

from npucc.frontend.problems import DIMS_CONFLICT, UNBOUND_DIMS, one_error
from npucc.frontend.tensors import checked_elements

Shape = tuple[int, ...]
KINDS = {"sequence_type": "a sequence", "optional_type": "an optional", "map_type": "a map"}
_ANONYMOUS = ("", "?", "-1", "None")


@dataclass(frozen=True)
class DeclaredInput:
    """A graph input as the model declares it: per axis a size, or the name of a symbol.

    Axes without a usable name get the symbol `<input>.<axis>`. `axes` is None where the model declares no rank. `kind`
    names what is no tensor of numbers (strings, a sequence, an optional); it is "" for the others.
    """

    name: str
    element_type: int
    axes: tuple[int | str, ...] | None
    kind: str = ""


@dataclass
class _Binding:
    """Symbol -> size, with who said so (for messages)."""

    sizes: dict[str, int] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[NpuError] = field(default_factory=list)

    def conflict(self, where: str, found: str, remedy: str) -> None:
        self.problems.append(NpuError(DIMS_CONFLICT, "a size contradicts the model", where, found, remedy))

    def bind(self, symbol: str, size: int, origin: str) -> None:
        known = self.sizes.get(symbol)
        if known is not None and known != size:
            found = f"{known} from {self.origins[symbol]}, {size} from {origin}"
            self.conflict(f"symbol `{symbol}`", found, "give one size")
        elif size < 0:
            self.conflict(f"symbol `{symbol}`", f"{size} from {origin}", "a size is at least 0")
        else:
            self.sizes[symbol], self.origins[symbol] = size, origin


def declared_inputs(graph: onnx.GraphProto) -> list[DeclaredInput]:
    """The inputs that a caller must feed: graph inputs without an initializer of the same name."""
    initialized = {tensor.name for tensor in graph.initializer}
    return [_declared(value) for value in graph.input if value.name not in initialized]


def _declared(value: onnx.ValueInfoProto) -> DeclaredInput:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return DeclaredInput(value.name, onnx.TensorProto.UNDEFINED, None, KINDS.get(str(kind), str(kind)))
    tensor = value.type.tensor_type
    if tensor.elem_type == onnx.TensorProto.STRING:
        return DeclaredInput(value.name, tensor.elem_type, None, "strings")
    if not tensor.HasField("shape"):
        return DeclaredInput(value.name, tensor.elem_type, None)
    axes: list[int | str] = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0:
            axes.append(dim.dim_value)
        elif dim.dim_param in _ANONYMOUS:
            axes.append(f"{value.name}.{axis}")
        else:
            axes.append(dim.dim_param)
    return DeclaredInput(value.name, tensor.elem_type, tuple(axes))


def bind_shapes(
    inputs: Sequence[DeclaredInput],
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Shape]:
    """The shape of each input. Errors: E0506 lists every unbound symbol, E0507 every contradiction."""
    binding = _Binding()
    for symbol, size in (dims or {}).items():
        binding.bind(symbol, size, f"--dim {symbol}={size}")
    given = {name: tuple(int(size) for size in shape) for name, shape in (input_shapes or {}).items()}
    _check_names(binding, inputs, dims or {}, given)
    for entry in inputs:
        if entry.name in given:
            _bind_input(binding, entry, given[entry.name])
    if binding.problems:
        raise one_error(DIMS_CONFLICT, "sizes contradict the model", "", binding.problems)
    shapes: dict[str, Shape] = {}
    unbound: list[NpuError] = []
    for entry in inputs:
        axes = given.get(entry.name, entry.axes) if entry.axes is None else entry.axes
        if axes is None:
            remedy = f"give input `{entry.name}` (--inputs), so that its shape is known"
            unbound.append(
                NpuError(UNBOUND_DIMS, "an input has no shape", f"input `{entry.name}`", "no rank in the model", remedy)
            )
            continue
        sizes = [axis if isinstance(axis, int) else _evaluate(axis, binding.sizes) for axis in axes]
        unbound += [_unbound(entry, str(axis)) for axis, size in zip(axes, sizes) if size is None]
        shapes[entry.name] = tuple(size for size in sizes if size is not None)
    if unbound:
        raise one_error(UNBOUND_DIMS, "symbolic dimensions have no size", "", unbound)
    for name, shape in shapes.items():
        checked_elements(shape, f"input `{name}`")
    return shapes


def _check_names(
    binding: _Binding, inputs: Sequence[DeclaredInput], dims: Mapping[str, int], given: Mapping[str, Shape]
) -> None:
    """Names given by the user must exist in the model."""
    symbols = {axis for entry in inputs for axis in entry.axes or () if isinstance(axis, str)}
    symbols |= {name for symbol in symbols for name in _names_in(symbol)}
    names = [entry.name for entry in inputs]
    for symbol in dims:
        if symbol not in symbols:
            known = ", ".join(sorted(symbols)) or "none"
            binding.conflict(f"--dim {symbol}", "no such symbol", f"symbols of this model: {known}")
    for name in given:
        if name not in names:
            binding.conflict(f"input `{name}`", "no such input", f"inputs of this model: {', '.join(names)}")


def _bind_input(binding: _Binding, entry: DeclaredInput, shape: Shape) -> None:
    """Bind the symbols of one input from the shape given for it, and check its fixed sizes."""
    where = f"input `{entry.name}`"
    if entry.axes is None:
        return
    declared = f"[{', '.join(map(str, entry.axes))}]"
    if len(shape) != len(entry.axes):
        binding.conflict(where, f"shape {list(shape)}", f"give shape {declared}")
        return
    for axis, (expected, size) in enumerate(zip(entry.axes, shape)):
        if isinstance(expected, int):
            if expected != size:
                binding.conflict(where, f"{size} on axis {axis} (shape {list(shape)})", f"give shape {declared}")
        elif expected.isidentifier() or not _names_in(expected) or expected not in binding.sizes:
            binding.bind(expected, size, where)


def _unbound(entry: DeclaredInput, symbol: str) -> NpuError:
    free = _names_in(symbol)
    settings = " ".join(f"--dim {name}=VALUE" for name in free) if len(free) > 1 else f"--dim {symbol}=VALUE"
    axes = ", ".join(map(str, entry.axes or ()))
    remedy = f"{settings}, or give the inputs"
    return NpuError(
        UNBOUND_DIMS,
        f"symbol `{symbol}` has no size",
        where=f"input `{entry.name}` of shape [{axes}]",
        found=f"symbol `{symbol}`",
        remedy=remedy,
    )


def _expression(symbol: str) -> ast.expr | None:
    """A symbol such as `past_length + length` as an arithmetic expression; None if it is only a name."""
    try:
        tree = ast.parse(symbol, mode="eval").body if len(symbol) < 200 else None
    except (SyntaxError, ValueError):
        return None
    return tree if isinstance(tree, ast.BinOp) else None


def _names_in(symbol: str) -> list[str]:
    """The symbols that an expression is made of; empty for a plain name."""
    tree = _expression(symbol)
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}) if tree else []


def _evaluate(symbol: str, sizes: Mapping[str, int]) -> int | None:
    """The size of a symbol, directly or as an expression of bound symbols."""
    if symbol in sizes:
        return sizes[symbol]
    tree = _expression(symbol)
    return _evaluate_expression(tree, sizes) if tree else None


def _evaluate_expression(tree: ast.expr, sizes: Mapping[str, int]) -> int | None:
    """`+`, `-`, `*`, `//` of symbols and whole numbers; None for anything else or an unbound symbol."""
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return tree.value
    if isinstance(tree, ast.Name):
        return sizes.get(tree.id)
    if not isinstance(tree, ast.BinOp):
        return None
    left, right = _evaluate_expression(tree.left, sizes), _evaluate_expression(tree.right, sizes)
    if left is None or right is None:
        return None
    match tree.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.FloorDiv() if right:
            return left // right
        case _:
            return None
