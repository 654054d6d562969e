"""What one round of a graph does: a program for all nodes whose inputs are there, and the nodes that wait for it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from npuisa.program import Program
from npuisa.target import Target
from xdsl.ir import SSAValue

from npucc.constants import ConstantStore
from npucc.driver import begin
from npucc.frontend.deferral import Deferred
from npucc.frontend.graph_code import GraphCode
from npucc.frontend.importer import GraphImport
from npucc.frontend.load import LoadedModel
from npucc.frontend.node import Bounded
from npucc.frontend.placeholders import Unknown
from npucc.frontend.problems import Unsupported
from npucc.options import Options
from npucc.pipeline import pipeline
from npucc.results import NodeSupport
from npucc.types import Array
from npucc.values import Bindings, is_machine_tensor, kind_of

MAX_PLANS = 256
"""Plans kept; the least recently used one is dropped. A plan holds no weights, only views of them."""
LARGE_VALUE = 256
"""Bytes from which a value that is compiled in is told apart by its digest."""

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Plan:
    """One round. `program` is None where nothing is left for the device.

    `arguments`: names of the values that the program reads. `ports`: ONNX name -> output of the program (several names
    may share one). `known`: outputs whose values the import found. `aliases`: outputs that are inputs under another
    name. `deferred`: nodes that run after the program. `supports`: the nodes that this round is done with.
    """

    program: Program | None
    arguments: tuple[str, ...]
    ports: dict[str, str]
    known: dict[str, Array]
    aliases: dict[str, str]
    deferred: tuple[Deferred, ...]
    supports: tuple[NodeSupport, ...]
    compile_seconds: float


class Planner:
    """Plans rounds and keeps them: same nodes, shapes and compiled-in values are the same plan."""

    def __init__(self, loaded: LoadedModel, target: Target, options: Options) -> None:
        self._loaded, self._target, self._options = loaded, target, options
        self._plans: OrderedDict[Key, tuple[Plan, dict[str, Array]]] = OrderedDict()
        self._fixed: dict[tuple[GraphCode, tuple[int, ...]], set[str]] = {}

    def plan(self, code: GraphCode, pending: tuple[int, ...], bindings: Bindings, whole: bool) -> Plan:
        """The round for the nodes `pending`. `whole`: if it needs no other round, the program has all inputs and
        outputs of the graph. Errors: those of the import and of the compiler."""
        visible = bindings.only(code.names(pending) | set(code.inputs if whole else ()))
        fixed = self._fixed.setdefault((code, pending), set())
        while True:
            key = _key(code, pending, visible, fixed, whole)
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key][0]
            start = perf_counter()
            work = self._import(code, pending, visible, fixed)
            if work.needs_values <= fixed:
                break
            fixed |= work.needs_values
        work.raise_problems()
        plan = self._finish(work, visible, whole, start)
        self._plans[key] = plan, visible.known  # the arrays that the key names by identity must live as long as it
        if len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        return plan

    def _import(self, code: GraphCode, pending: tuple[int, ...], visible: Bindings, fixed: set[str]) -> GraphImport:
        work = GraphImport(self._loaded, ConstantStore(), code)
        work.bind(
            known={**visible.known, **{name: visible.values[name] for name in fixed & visible.values.keys()}},
            arguments={name: array for name, array in visible.values.items() if name not in fixed},
        )
        work.import_nodes(pending)
        return work

    def _finish(self, work: GraphImport, visible: Bindings, whole: bool, start: float) -> Plan:
        """Compile what the deferred nodes and the graph's outputs need."""
        code, deferred = work.code, tuple(work.deferred)
        later = {entry.position for entry in deferred}
        done = [report for report in work.reports if report.name not in {entry.label for entry in deferred}]
        needed = set(code.outputs).union(*(code.reads[position] for position in later))
        ports: dict[str, str] = {}
        known: dict[str, Array] = {}
        aliases: dict[str, str] = {}
        whole = whole and not deferred
        if whole:
            ports = {name: name for name in code.outputs}
        else:
            _sort_outputs(work, sorted(needed), visible, ports, known, aliases)
            work.raise_problems()
        program = None
        if ports:
            work.drop_arguments(whole)
            imported = work.finish(list(dict.fromkeys(ports.values())))
            compilation = begin(imported, self._target, self._options, perf_counter() - start)
            compilation.run(pipeline(self._options))
            program = compilation.emit()
        arguments = tuple(port.name for port in program.inputs) if program else ()
        seconds = perf_counter() - start
        return Plan(program, arguments, ports, known, aliases, deferred, tuple(done), seconds)


def _sort_outputs(
    work: GraphImport,
    needed: Sequence[str],
    visible: Bindings,
    ports: dict[str, str],
    known: dict[str, Array],
    aliases: dict[str, str],
) -> None:
    """Which of the needed values the program computes, which the import knows, and which are inputs."""
    first: dict[SSAValue, str] = {}
    for name in needed:
        value = work.scope.get(name)
        if name in visible:
            continue
        if isinstance(value, np.ndarray | np.generic):
            known[name] = np.asarray(value)
        elif isinstance(value, Unknown):
            rule = "optional outputs that the importer does not make are not read"
            work.refuse(f"tensor `{name}`", Unsupported(rule, "a node that runs later reads it"))
        elif isinstance(value, Bounded):
            ports[name] = name
        elif isinstance(value, SSAValue):
            argument, array = work.argument_name(value), work.build.known(value)
            if array is not None:
                known[name] = array
            elif argument is not None:
                aliases[name] = argument
            else:
                ports[name] = first.setdefault(value, name)


def _key(code: GraphCode, pending: tuple[int, ...], visible: Bindings, fixed: set[str], whole: bool) -> Key:
    known = tuple(sorted((name, id(array)) for name, array in visible.known.items()))
    values = tuple(_value_key(name, value, name in fixed) for name, value in sorted(visible.values.items()))
    return code, pending, whole, known, values


def _value_key(name: str, value: Any, fixed: bool) -> Key:
    kind = kind_of(value)
    if kind or not is_machine_tensor(value):
        return name, kind
    array = np.asarray(value)
    data = array.tobytes() if fixed else b""
    return name, array.shape, str(array.dtype), data if len(data) < LARGE_VALUE else hashlib.sha256(data).digest()
