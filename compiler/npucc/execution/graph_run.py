"""One execution of a graph: rounds of a program, host nodes and bodies, until every node is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from npuisa.errors import ExitCode, NpuError, error_code
from onnx import ModelProto

from npucc.execution.control import run_body
from npucc.execution.plan import Plan
from npucc.frontend.deferral import Deferred, How
from npucc.frontend.graph_code import GraphCode
from npucc.results import NodeSupport
from npucc.types import Array
from npucc.values import Bindings, Concrete

NO_PROGRESS = error_code("NPU-E1021", ExitCode.UNSUPPORTED, "Nodes of the model wait for values that nothing computes")


class Machinery(Protocol):
    """What executes the pieces: `session.Execution`."""

    model: ModelProto
    model_opset: int

    def plan(self, code: GraphCode, pending: tuple[int, ...], bindings: Bindings, whole: bool) -> Plan: ...

    def device(self, plan: Plan, values: dict[str, Array]) -> dict[str, Array]: ...

    def host(self, code: GraphCode, entry: Deferred, values: dict[str, Concrete]) -> list[Concrete]: ...

    def stored(self, code: GraphCode) -> Bindings: ...

    def note(self, supports: Sequence[NodeSupport]) -> None: ...


def run_graph(machinery: Machinery, code: GraphCode, bindings: Bindings, whole: bool = False) -> list[Concrete]:
    """Execute `code`; its outputs in order. `bindings` hold its inputs and what it captures.

    `whole`: if one program holds all nodes, it is the one that `npucc.compile` makes. Errors: NPU-E1021, those of the
    compiler, the simulator and the host.
    """
    stored = machinery.stored(code)
    state = Bindings({**bindings.known, **stored.known}, {**bindings.values, **stored.values})
    pending = tuple(range(len(code.nodes)))
    while pending or (whole and not all(name in state for name in code.outputs)):
        plan = machinery.plan(code, pending, state, whole)
        whole = False
        _execute(machinery, plan, state)
        left = tuple(_run_ready(machinery, code, plan.deferred, state))
        if left == pending:
            raise _stuck(code, plan.deferred)
        pending = left
        state = state.only(code.names(pending))  # what nothing reads any more is freed
    return [_output(code, state, name) for name in code.outputs]


def _execute(machinery: Machinery, plan: Plan, state: Bindings) -> None:
    """The program of a round, and what the import itself found out."""
    machinery.note(plan.supports)
    state.known.update(plan.known)
    for name, source in plan.aliases.items():
        state.values[name] = state[source]
    if plan.program is not None:
        results = machinery.device(plan, {name: np.asarray(state[name]) for name in plan.arguments})
        state.values.update({name: results[port] for name, port in plan.ports.items()})


def _run_ready(machinery: Machinery, code: GraphCode, deferred: Sequence[Deferred], state: Bindings) -> Iterator[int]:
    """Run host nodes and bodies whose inputs are there, in order; the numbers of the nodes that are left."""
    for entry in deferred:
        ready = all(name in state or _left_out(code, name) for name in code.reads[entry.position])
        if not ready or entry.how is How.LATER:
            yield entry.position
            continue
        node = code.nodes[entry.position]
        if entry.how is How.HOST:
            results = machinery.host(code, entry, {name: state[name] for name in node.input if name in state})
        else:
            results = run_body(machinery, run_graph, code, entry.position, state)
            place = NodeSupport(name=entry.label, op=entry.op, where="npu", rule=entry.rule, found=entry.found)
            machinery.note([place])
        state.values.update({name: value for name, value in zip(node.output, results) if name})


def _left_out(code: GraphCode, name: str) -> bool:
    """Optional inputs of a function that its call leaves out."""
    return name in code.inputs and code.stored is None


def _output(code: GraphCode, state: Bindings, name: str) -> Concrete:
    if name not in state:
        if code.stored is None:  # an optional output of a function that this call does not make
            return None
        raise NpuError(NO_PROGRESS, "an output has no value", f"output `{name}`", "nothing", "export the model again")
    return state[name]


def _stuck(code: GraphCode, deferred: Sequence[Deferred]) -> NpuError:
    problems = [
        NpuError(NO_PROGRESS, entry.rule, f"node `{entry.label}` ({entry.op})", entry.found, "") for entry in deferred
    ]
    return NpuError(
        NO_PROGRESS,
        "nodes wait for values that nothing computes",
        where=f"{len(deferred)} of {len(code.nodes)} nodes",
        found="no node could be run in the last round",
        remedy="report this model: the execution in segments should have found an order",
        problems=problems,
    )
