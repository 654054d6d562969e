"""If, Loop, Scan and function calls whose bodies are not part of a program: the driver runs the bodies, of which the
parts are programs again. Shapes and types of what a loop carries may change from step to step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from npuisa.errors import ExitCode, NpuError, error_code
from onnx import GraphProto, NodeProto, ValueInfoProto, helper

from npucc.frontend.function_bodies import find_function
from npucc.frontend.graph_code import GraphCode, body_code, function_code
from npucc.frontend.importer import MAX_CALL_DEPTH
from npucc.frontend.problems import BAD_NODE, UNSUPPORTED_NODES
from npucc.frontend.type_inference import onnx_type
from npucc.types import Array
from npucc.values import Bindings, Concrete

if TYPE_CHECKING:
    from npucc.execution.graph_run import Machinery

ENDLESS = error_code("NPU-E1022", ExitCode.UNSUPPORTED, "A loop that the driver runs does not end")
MOST_STEPS = 100_000
"""Most steps of a loop without a trip count that is run step by step."""

RunGraph = Callable[["Machinery", GraphCode, Bindings], list[Concrete]]


def run_body(
    machinery: Machinery, run_graph: RunGraph, code: GraphCode, position: int, state: Bindings
) -> list[Concrete]:
    """The outputs of node number `position`, in ONNX's order. E0508 for a body that does not fit its node."""
    call = _Call(machinery, run_graph, code, position, state)
    if code.depth >= MAX_CALL_DEPTH:
        where, found = f"node `{call.label}` ({call.node.op_type})", "a deeper (or recursive) call"
        rule = f"not supported, since this must hold: bodies nest at most {MAX_CALL_DEPTH} deep"
        raise NpuError(UNSUPPORTED_NODES, rule, where, found, "remove the recursion from the model's functions")
    if call.node.domain in ("", "ai.onnx") and call.node.op_type in _CONTROL:
        results = _CONTROL[call.node.op_type](call)
        if len(results) < len(call.node.output):
            raise call.broken(
                "the body gives what its node gives", f"{len(results)} of {len(call.node.output)} outputs"
            )
        return results
    return _run_function(call)


class _Call:
    """A node that is run through its bodies."""

    def __init__(
        self, machinery: Machinery, run_graph: RunGraph, code: GraphCode, position: int, state: Bindings
    ) -> None:
        self.machinery, self._run_graph = machinery, run_graph
        self.code, self.position, self.state = code, position, state
        self.node: NodeProto = code.nodes[position]
        self.label = code.labels[position]

    def given(self, index: int) -> bool:
        """Whether input `index` is given."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def input(self, index: int) -> Concrete:
        """The value of input `index`; None if it is left out."""
        return self.state[self.node.input[index]] if self.given(index) else None

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute of the node."""
        found = next((entry for entry in self.node.attribute if entry.name == name), None)
        return default if found is None else helper.get_attribute_value(found)

    def body(self, name: str) -> GraphCode:
        """The graph in attribute `name`, made once."""

        def make() -> GraphCode:
            graph = self.attribute(name, None)
            if not isinstance(graph, GraphProto):
                raise self.broken(f"{self.node.op_type} has a graph `{name}`", "no such attribute")
            return body_code(graph, self.code, self.label)

        return self.code.child((self.position, name), make)

    def run(self, body: GraphCode, arguments: Sequence[Concrete]) -> list[Concrete]:
        """One execution of a body, which also sees the values around it."""
        if len(arguments) != len(body.inputs):
            raise self.broken("the body takes what its node gives", f"{len(body.inputs)} inputs for {len(arguments)}")
        bindings = self.state.only(body.captured)
        bindings.values.update(zip(body.inputs, arguments))
        return self._run_graph(self.machinery, body, bindings)

    def call(self, body: GraphCode, bindings: Bindings) -> list[Concrete]:
        """One execution of a function's body, which sees nothing but its inputs."""
        return self._run_graph(self.machinery, body, bindings)

    def broken(self, rule: str, found: str) -> NpuError:
        """The node contradicts ONNX."""
        where = f"node `{self.label}` ({self.node.op_type})"
        remedy = "export the model again; the file breaks the ONNX specification here"
        return NpuError(BAD_NODE, f"a node does not fit: {rule}", where, found, remedy)


def _run_if(call: _Call) -> list[Concrete]:
    branch = "then_branch" if _truth(call, call.input(0)) else "else_branch"
    return call.run(call.body(branch), [])


def _run_loop(call: _Call) -> list[Concrete]:
    """Steps while the condition holds and the trip count lasts; scan outputs are stacked at the end."""
    body = call.body("body")
    limit = int(_single(call, call.input(0), np.int64, "the trip count")) if call.given(0) else None
    going = _truth(call, call.input(1)) if call.given(1) else True
    carried = [call.input(index) for index in range(2, len(call.node.input))]
    if len(body.outputs) <= max(len(carried), len(call.node.output)):
        raise call.broken("the body gives a condition and what the loop carries", f"{len(body.outputs)} outputs")
    collected: list[list[Concrete]] = [[] for _ in body.outputs[len(carried) + 1 :]]
    step = 0
    while going and (limit is None or step < limit):
        if limit is None and step >= MOST_STEPS:
            where, found = f"node `{call.label}` (Loop)", f"a condition that still holds after {step} steps"
            remedy = "give the loop a trip count, or other inputs"
            raise NpuError(ENDLESS, "a loop without a trip count does not end", where, found, remedy)
        condition, *results = call.run(body, [np.asarray(step, np.int64), np.asarray(going), *carried])
        going, carried = _truth(call, condition), results[: len(carried)]
        for pieces, value in zip(collected, results[len(carried) :]):
            pieces.append(value)
        step += 1
    declared = _outputs(body)[len(carried) + 1 :]
    return [*carried, *(_stacked(call, *entry, 0) for entry in zip(collected, declared))]


def _run_scan(call: _Call) -> list[Concrete]:
    """One step per element of the scanned axes (opset 9 and later)."""
    if call.code.opsets.get("", 1) < 9:
        raise call.broken("Scan is of opset 9 or later", f"opset {call.code.opsets.get('', 1)}")
    body, scanned = call.body("body"), int(call.attribute("num_scan_inputs", 0))
    values = [np.asarray(call.input(index)) for index in range(len(call.node.input))]
    states: list[Concrete] = list(values[: len(values) - scanned])
    inputs = values[len(values) - scanned :]
    axes = call.attribute("scan_input_axes", None) or [0] * scanned
    backward = call.attribute("scan_input_directions", None) or [0] * scanned
    if not 0 < scanned <= len(values) or len(axes) != scanned or len(backward) != scanned:
        found = f"{len(values)} inputs, {scanned} scanned"
        raise call.broken("Scan's attributes agree with its inputs", found)
    axes = [_wrapped(call, axis, value.ndim) for value, axis in zip(inputs, axes)]
    lengths = {value.shape[axis] for value, axis in zip(inputs, axes)}
    if len(lengths) != 1:
        raise call.broken("scanned inputs have one length", f"{sorted(lengths)}")
    length = lengths.pop()
    if len(body.outputs) < len(states):
        raise call.broken("the body gives what the scan carries", f"{len(body.outputs)} outputs")
    declared = _outputs(body)[len(states) :]
    collected: list[list[Concrete]] = [[] for _ in declared]
    for step in range(length):
        slices = [
            value.take(length - 1 - step if reverse else step, axis)
            for value, axis, reverse in zip(inputs, axes, backward)
        ]
        results = call.run(body, [*states, *slices])
        states = results[: len(states)]
        for pieces, value in zip(collected, results[len(states) :]):
            pieces.append(value)
    out_axes = call.attribute("scan_output_axes", None) or [0] * len(collected)
    out_backward = call.attribute("scan_output_directions", None) or [0] * len(collected)
    if len(out_axes) != len(collected) or len(out_backward) != len(collected):
        raise call.broken("Scan's output attributes agree with its body", f"{out_axes}, {out_backward}")
    if not {*backward, *out_backward} <= {0, 1}:
        raise call.broken("directions of a Scan are 0 or 1", f"{list(backward)}, {list(out_backward)}")
    rows = zip(collected, declared, out_axes, out_backward)
    stacked = [_stacked(call, pieces[::-1] if flip else pieces, kind, axis) for pieces, kind, axis, flip in rows]
    return [*states, *stacked]


def _run_function(call: _Call) -> list[Concrete]:
    """The body that the model or ONNX's schema gives for the op, for operands of these types."""
    node, code = call.node, call.code
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = code.opsets.get(domain, 1)
    types = [onnx_type(call.input(index)) if call.given(index) else None for index in range(len(node.input))]
    key = tuple(b"" if entry is None else entry.SerializeToString() for entry in types)

    def make() -> GraphCode:
        body = find_function(call.machinery.model, node, domain, version, types)
        if body is None:
            raise call.broken("the op has a body for operands of these types", "none")
        return function_code(body, call.machinery.model_opset, code, call.label)

    body = code.child((call.position, *key), make)
    bindings = Bindings()
    for formal, actual in zip(body.inputs, node.input):
        if actual:
            known = actual in call.state.known
            (bindings.known if known else bindings.values)[formal] = call.state[actual]
    return call.call(body, bindings)


_CONTROL: dict[str, Callable[[_Call], list[Concrete]]] = {"If": _run_if, "Loop": _run_loop, "Scan": _run_scan}


def _truth(call: _Call, value: Concrete) -> bool:
    return bool(_single(call, value, bool, "the condition"))


def _single(call: _Call, value: Concrete, dtype: npt.DTypeLike, what: str) -> Any:
    array = np.asarray(value)
    if array.size != 1 or array.dtype != np.dtype(dtype):
        raise call.broken(f"{what} is one element of type {np.dtype(dtype)}", f"{array.dtype} of shape {array.shape}")
    return array.reshape(-1)[0]


def _wrapped(call: _Call, axis: int, rank: int) -> int:
    """The axis counted from the front."""
    if not -rank <= axis < rank:
        raise call.broken("axes are axes of their tensors", f"axis {axis} of rank {rank}")
    return axis % rank


def _outputs(body: GraphCode) -> Sequence[ValueInfoProto]:
    return [] if body.stored is None else list(body.stored.output)


def _stacked(call: _Call, pieces: list[Concrete], declared: ValueInfoProto, axis: int) -> Array:
    """Scan outputs along a new axis; without steps, an empty tensor of the declared type."""
    if pieces:
        shapes = {np.shape(piece) for piece in pieces}
        if len(shapes) > 1:
            found = f"output `{declared.name}` of shapes {sorted(shapes)}"
            raise call.broken("scan outputs have one shape in all steps", found)
        arrays = [np.asarray(piece) for piece in pieces]
        return np.stack(arrays, _wrapped(call, axis, arrays[0].ndim + 1))
    tensor = declared.type.tensor_type
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    sizes.insert(_wrapped(call, axis, len(sizes) + 1), 0)
    known = tensor.elem_type != onnx.TensorProto.UNDEFINED
    return np.zeros(sizes, helper.tensor_dtype_to_np_dtype(tensor.elem_type) if known else np.float32)
