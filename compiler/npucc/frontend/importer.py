"""The import: ONNX nodes in order, each through its importer function, its function body, or evaluation at import.

A node that cannot be in the program yet - it needs a value that the program computes, it reads such a node, or only the
host can run it - is deferred, and the import goes on with the nodes that do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from npuisa.errors import NpuError
from onnx import GraphProto, NodeProto
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import VerifyException

from npucc.constants import ConstantStore
from npucc.frontend.arguments import arguments_behind, is_shape_like
from npucc.frontend.bounded import apply_rule
from npucc.frontend.construction import ProgramUnderConstruction
from npucc.frontend.control_flow import how_it_runs, import_if, import_loop
from npucc.frontend.deferral import Defer, Deferred, How, not_one_program
from npucc.frontend.eligibility import COMPUTED_EARLIER, check_op, check_operands, check_reads
from npucc.frontend.folding import fold
from npucc.frontend.function_bodies import find_function
from npucc.frontend.graph_code import GraphCode, main_code
from npucc.frontend.imported import ImportedModel
from npucc.frontend.load import LoadedModel, ModelSource, load_model
from npucc.frontend.model_work import ModelWork
from npucc.frontend.node import Bounded, ByStep, ImportNode, Output, Value
from npucc.frontend.node_support import (
    KNOWN_OP,
    domain_of,
    is_control_flow,
    no_importer,
    qualified,
    unknown_ops,
)
from npucc.frontend.placeholders import HostValue, Later, Scope, ScopeValue, Unknown, placeholders
from npucc.frontend.problems import (
    BAD_NODE,
    Malformed,
    NeedsHost,
    NeedsValue,
    Unsupported,
)
from npucc.frontend.registry import Importer, find_importer
from npucc.frontend.rolled_loop import Settle, facts_of_loop, roll
from npucc.frontend.scan import import_scan
from npucc.frontend.shapes import bind_shapes, declared_inputs
from npucc.frontend.type_inference import onnx_type
from npucc.results import NodeSupport
from npucc.types import Array

MAX_CALL_DEPTH = 32
COMPILE_TIME = "its value is known at compile time"

Outputs = list[Output | Unknown | HostValue]


def import_model(
    source: ModelSource,
    *,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    fixed_inputs: Mapping[str, Array] | None = None,
    constants: ConstantStore | None = None,
) -> ImportedModel:
    """Import a model (path, bytes or ModelProto) for fixed input shapes, as one program.

    `dims` gives sizes to symbols (axis 2 of input x without a name: `x.2`), `input_shapes` to whole inputs.
    `fixed_inputs` become constants of the module (shapes, axes, options) and are no inputs of it any more. Errors:
    E0501-E0505 and E0508 for damaged models, E0506/E0507 for missing or contradicting sizes, E0510 with every
    unsupported node in `problems`, E0512 with every node that cannot be in the first program.
    """
    loaded = load_model(source)
    work = GraphImport(loaded, constants if constants is not None else ConstantStore())
    work.run(dims, input_shapes, fixed_inputs)
    work.raise_problems()
    if work.deferred:
        raise not_one_program(work.deferred, len(work.code.nodes), work.needs_values, loaded.name)
    return work.finish(work.code.outputs)


class GraphImport(ProgramUnderConstruction):
    """One import: the program under construction, the support of each node, and all problems found."""

    def __init__(self, loaded: LoadedModel, constants: ConstantStore, code: GraphCode | None = None) -> None:
        super().__init__(loaded, constants, main_code(loaded) if code is None else code)
        self.reports: list[NodeSupport] = []
        self.deferred: list[Deferred] = []
        self.needs_values: set[str] = set()
        """ONNX names of inputs whose values a node has to know."""
        self._depth = 0

    def run(
        self,
        dims: Mapping[str, int] | None,
        input_shapes: Mapping[str, Sequence[int]] | None,
        fixed_inputs: Mapping[str, Array] | None = None,
    ) -> None:
        """Import the main graph: inputs, initializers and nodes; problems are collected."""
        self._add_inputs(dims, input_shapes, fixed_inputs or {})
        self.add_initializers(self.code.stored, self.scope)
        self.import_nodes(range(len(self.code.nodes)))

    def import_nodes(self, positions: Iterable[int]) -> None:
        """Import these nodes of the code."""
        for position in positions:
            self.build.node = self.code.labels[position]
            self.reports.append(self._import_reported(position))
        self.build.node = ""

    # Inputs and initializers

    def _add_inputs(
        self,
        dims: Mapping[str, int] | None,
        input_shapes: Mapping[str, Sequence[int]] | None,
        fixed: Mapping[str, Array],
    ) -> None:
        declared = declared_inputs(self.loaded.proto.graph)
        given = {**(input_shapes or {}), **{name: np.shape(array) for name, array in fixed.items()}}
        kinds = {entry.name: entry.kind for entry in declared if entry.kind}
        self.scope.update({name: HostValue(kind) for name, kind in kinds.items()})
        tensors = {name for name in given if name not in kinds and name.rpartition(".")[0] not in kinds}
        given = {name: given[name] for name in tensors}  # element i of a sequence x may be given as `x.i`
        shapes = bind_shapes([entry for entry in declared if not entry.kind], dims, given)
        self.scope.update({name: np.asarray(array) for name, array in fixed.items()})
        for entry in declared:
            if entry.name not in fixed and not entry.kind:
                self.add_argument(entry.name, shapes[entry.name], entry.element_type)

    # Nodes

    def _import_reported(self, position: int) -> NodeSupport:
        """Import one node of the code; a deferred one makes its outputs `Later`, a problem makes them placeholders."""
        node, label = self.code.nodes[position], self.code.labels[position]
        where = f"node `{label}` ({qualified(node, self.code.opsets)})"
        before = self.build.count
        try:
            check_op(self.loaded.proto, node, self.code.opsets.get(domain_of(node), 1))
            check_reads(node, self.code.reads[position], self.scope)
            outputs, rule = self._import_node(node, label, self.scope, self.code.opsets)
        except (Defer, NeedsHost, NeedsValue, Unsupported, Malformed, VerifyException) as problem:
            self.build.count = before
            deferral = self._deferral(node, problem)
            unknown = unknown_ops(self.loaded, [node]) if is_control_flow(node) else []
            if deferral is not None and not unknown:
                return self._defer(position, deferral)
            if unknown:
                problem = Unsupported(f"ops in bodies have {KNOWN_OP}", ", ".join(unknown))
            if isinstance(problem, Unsupported):
                self.refuse(where, problem)
                return self._give_up(node, label, problem)
            found = problem if isinstance(problem, Malformed) else Malformed("shapes and types fit", str(problem))
            error = NpuError(BAD_NODE, f"a node does not fit: {found.rule}", where, found.found, found.remedy)
            self.malformed.append(error)
            return self._give_up(node, label, found)
        self._bind(node, outputs, self.scope)
        self._note_undefined(node)
        for name, value in zip(node.output, outputs):
            if name and isinstance(value, SSAValue):
                self.build.name_tensor(value, name)
        place = "compile time" if rule == COMPILE_TIME else "npu"
        return NodeSupport(name=label, op=node.op_type, where=place, rule=rule)

    def _deferral(self, node: NodeProto, problem: Exception) -> Defer | None:
        """How the node runs if not in this program; None if it cannot run at all."""
        match problem:
            case Defer():
                return problem
            case NeedsHost():
                return Defer(How.HOST, problem.rule, problem.found)
            case NeedsValue():
                return self._wait_for_value(node, problem)
            case _:
                pass
        if not is_control_flow(node):
            return None
        # A branch that is not taken may contradict the shapes, a loop may change them from step to step.
        rule = getattr(problem, "rule", "shapes and types fit")
        return Defer(How.BODY, f"run step by step, since this does not hold: {rule}", getattr(problem, "found", ""))

    def _wait_for_value(self, node: NodeProto, problem: NeedsValue) -> Defer:
        """The value is an input of the program, or computed from inputs that give shapes: these must be known.
        Otherwise the program computes it first."""
        needed = problem.value
        inputs = [self.scope.get(name) for name in node.input]
        if isinstance(needed, SSAValue):
            behind = arguments_behind(needed)
            if needed in self.arguments or (behind and all(is_shape_like(value) for value in behind)):
                self.needs_values |= {name for value in behind if (name := self.argument_name(value)) is not None}
                return Defer(How.LATER, problem.rule, problem.found)
            if any(value is needed for value in inputs):
                return Defer(How.LATER, problem.rule, problem.found)
        return Defer(How.BODY, problem.rule, problem.found)

    def _defer(self, position: int, deferral: Defer) -> NodeSupport:
        node, label = self.code.nodes[position], self.code.labels[position]
        entry = Deferred(position, label, node.op_type, deferral.how, deferral.rule, deferral.found)
        self.deferred.append(entry)
        self.scope.update({name: Later(label) for name in node.output if name})
        where = "host" if deferral.how is How.HOST else "npu"
        return NodeSupport(name=label, op=node.op_type, where=where, rule=deferral.rule, found=deferral.found)

    def _note_undefined(self, node: NodeProto) -> None:
        """Graph outputs must not be outputs that the importer left out."""
        if self.unsupported or self.malformed:
            return
        for name in set(self.code.outputs).intersection(node.output):
            if isinstance(self.scope[name], Unknown):
                rule = "graph outputs are outputs that the importer makes"
                self.refuse(f"output `{name}`", Unsupported(rule, f"an optional output of {node.op_type}"))

    def _give_up(self, node: NodeProto, label: str, problem: Unsupported | Malformed) -> NodeSupport:
        """Placeholders for the outputs, so that the nodes behind can still be checked."""
        values: Sequence[ScopeValue] = [Unknown() for _ in node.output]
        if isinstance(problem, Unsupported):  # ONNX's shape inference is not robust against malformed nodes
            values = placeholders(node, self.scope, self.code.opsets, self.block)
        self.scope.update(zip(node.output, values))
        return NodeSupport(
            name=label,
            op=node.op_type,
            where="unsupported",
            rule=problem.rule,
            found=problem.found,
            remedy=problem.remedy,
        )

    def _bind(self, node: NodeProto, outputs: Sequence[ScopeValue], scope: Scope) -> None:
        for index, name in enumerate(node.output):
            if name and index < len(outputs):
                scope[name] = outputs[index]
            elif name:
                scope[name] = Unknown()

    def _import_node(self, node: NodeProto, label: str, scope: Scope, opsets: Mapping[str, int]) -> tuple[Outputs, str]:
        """Outputs of a node, and the rule by which it is supported."""
        domain = domain_of(node)
        version = opsets.get(domain, 1)
        importer = find_importer(domain, node.op_type, version)
        undefined = [name for name in node.input if name and name not in scope]
        if undefined:  # only in bodies of functions: the graph itself has been checked
            raise Malformed("a function body defines what it reads", ", ".join(undefined))
        inputs = [scope[name] if name else None for name in node.input]
        check_op(self.loaded.proto, node, version)
        check_operands(self.loaded.proto, node, inputs, version)
        if any(isinstance(value, Unknown) for value in inputs):
            if not self.unsupported and not self.malformed:
                rule = "optional outputs that the importer does not make are not read"
                raise Unsupported(rule, f"inputs {', '.join(node.input)}")
            return [], "depends on an unsupported node"
        by_step = {index: value for index, value in enumerate(inputs) if isinstance(value, ByStep)}
        inputs = [value.value() if isinstance(value, ByStep) else value for value in inputs]
        if any(isinstance(value, Bounded) for value in inputs):
            view = ImportNode(node, label, domain, version, [], self.build, by_step)
            return self._import_bounded(view, [value for value in inputs if not isinstance(value, Later)], importer)
        known = [value if isinstance(value, SSAValue | np.ndarray | np.generic) else None for value in inputs]
        view = ImportNode(node, label, domain, version, known, self.build, by_step)
        if node.op_type in ("Constant", "ConstantOfShape", "Shape", "Size", "Identity") and importer:
            return _as_list(importer(view)), COMPILE_TIME
        folded = fold(view)
        if folded is not None:
            return list(folded), COMPILE_TIME
        if is_control_flow(node):
            made = self._import_control_flow(view, scope, opsets)
            return list(made), how_it_runs(node.op_type, made)
        if importer is not None:
            outputs = _as_list(importer(view))
            self.model_work.note(view, outputs)
            return outputs, ""
        return self._import_function(view), "expanded to its function body"

    def _import_bounded(
        self, view: ImportNode, inputs: Sequence[ScopeValue], importer: Importer | None
    ) -> tuple[Outputs, str]:
        """A node that reads a tensor whose shape depends on data, by the rule of its op; Defer if it has none."""

        def run(inner: ImportNode) -> list[Output]:
            outputs = self._import_function(inner) if importer is None else _as_list(importer(inner))
            return [output for output in outputs if not isinstance(output, Unknown | HostValue)]

        operands = [None if isinstance(value, Unknown | Later | HostValue | ByStep) else value for value in inputs]
        outputs = None if is_control_flow(view.proto) else apply_rule(view, operands, run)
        if outputs is None:
            raise Defer(How.LATER, COMPUTED_EARLIER, "an operand whose shape depends on data")
        return list(outputs), "works on buffers of the greatest size"

    def _import_control_flow(
        self, view: ImportNode, scope: Scope, opsets: Mapping[str, int]
    ) -> Sequence[Output | Unknown]:
        """If, Loop or Scan; the bodies see the values around them."""

        def run(body: GraphProto, arguments: Mapping[str, Value]) -> list[Value | Unknown]:
            inner: Scope = {**scope, **arguments}
            self.add_initializers(body, inner)
            self._import_nodes(body.node, view.label, inner, opsets)
            outputs = self._results([value.name for value in body.output], inner)
            return [_static(value) for value in outputs]

        match view.op_type:
            case "If":
                return import_if(view, run)
            case "Scan":
                return import_scan(view, run)
            case _:
                return import_loop(view, run, lambda: self._import_loop_by_facts(view, scope, opsets))

    def _import_loop_by_facts(
        self, view: ImportNode, scope: Scope, opsets: Mapping[str, int]
    ) -> Sequence[Output] | None:
        """A Loop whose body needs to know the step, or whose values grow; None where that is not known before."""
        body = view.attribute("body")
        if not isinstance(body, GraphProto):
            return None
        outer = dict(scope)
        self.add_initializers(body, outer)

        def import_into(node: NodeProto, inner: Scope) -> None:
            outputs, _ = self._import_node(node, view.label, inner, opsets)
            self._bind(node, outputs, inner)

        def run(arguments: Scope, known: Scope, settle: Settle) -> Outputs:
            inner = {**outer, **arguments}
            for node in body.node:
                names = [name for name in node.output if name]
                if names and all(name in known for name in names):
                    inner.update({name: known[name] for name in names})
                else:
                    import_into(node, inner)
                    inner.update({name: settle(name, inner[name]) for name in names})
            return self._results([value.name for value in body.output], inner)

        kept = self.build, self.model_work, set(self.needs_values)
        self.build, self.model_work = self.build.scratch(), ModelWork()
        try:
            facts = facts_of_loop(view, body, outer, import_into, self.build)
        finally:
            self.build, self.model_work, self.needs_values = kept
        try:
            return None if facts is None else roll(view, body, facts, run)
        except (Unsupported, Defer, NeedsHost):
            return None

    def _import_function(self, view: ImportNode) -> Outputs:
        """A node without importer function, by the body that the model or the ONNX schema gives for it."""
        types = [None if value is None else onnx_type(value) for value in view.inputs]
        body = find_function(self.loaded.proto, view.proto, view.domain, view.opset, types)
        if body is None:
            raise no_importer(view.proto, view.opset)
        inner: Scope = {name: view.inputs[i] if view.has(i) else None for i, name in enumerate(body.inputs)}
        # Bodies of other domains may leave out the import of ONNX's own.
        opsets = {"": self.loaded.opsets[""], **body.opsets}
        self._import_nodes(body.nodes, view.label, inner, opsets)
        return self._results(body.outputs, inner)

    def _import_nodes(self, nodes: Sequence[NodeProto], label: str, scope: Scope, opsets: Mapping[str, int]) -> None:
        """Nodes of a body, all with the provenance of the node that they belong to.

        If one of them is not for this program, the whole body is not: the driver runs it node by node.
        """
        if self._depth >= MAX_CALL_DEPTH:
            raise Unsupported(f"functions nest at most {MAX_CALL_DEPTH} deep", "a deeper (or recursive) call")
        self._depth += 1
        try:
            for node in nodes:
                outputs, _ = self._import_node(node, label, scope, opsets)
                self._bind(node, outputs, scope)
        except (Defer, NeedsHost) as problem:
            raise Defer(How.BODY, problem.rule, problem.found) from None
        finally:
            self._depth -= 1

    @staticmethod
    def _results(names: Sequence[str], scope: Scope) -> Outputs:
        """The outputs of a body; those that this call leaves undefined are Unknown."""
        values = [scope.get(name) for name in names]
        later = next((value for value in values if isinstance(value, Later)), None)
        if later is not None:
            raise Defer(How.BODY, COMPUTED_EARLIER, f"an output of node `{later.node}`")
        return [_result(value) for value in values]


def _result(value: ScopeValue) -> Output | Unknown | HostValue:
    if value is None or isinstance(value, Later):
        return Unknown()
    return value.value() if isinstance(value, ByStep) else value


def _static(value: Output | Unknown | HostValue) -> Value | Unknown:
    """A result of a body; a Bounded one is only known to the node that made it, so the driver runs the body."""
    if isinstance(value, Bounded | HostValue):
        raise Defer(How.BODY, COMPUTED_EARLIER, "a result of a body whose shape depends on data, or that is no tensor")
    return value


def _as_list(outputs: Output | Sequence[Output]) -> Outputs:
    return [outputs] if isinstance(outputs, SSAValue | np.ndarray | np.generic | Bounded) else list(outputs)
