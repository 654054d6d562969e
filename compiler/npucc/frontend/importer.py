"""The import: ONNX nodes in order, each through its importer function, its function body, or evaluation at import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from npuisa.errors import NpuError
from onnx import GraphProto, NodeProto
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from npucc.constants import ConstantStore
from npucc.dialects import graph
from npucc.frontend.bounded import apply_rule
from npucc.frontend.builder import GraphBuilder, Shape
from npucc.frontend.control_flow import import_if, import_loop, import_scan
from npucc.frontend.folding import fold
from npucc.frontend.function_bodies import find_function
from npucc.frontend.graph_checks import node_label, node_reads
from npucc.frontend.load import LoadedModel, ModelSource, load_model
from npucc.frontend.model_work import ModelWork
from npucc.frontend.node import Bounded, ImportNode, Output, Value
from npucc.frontend.placeholders import Unknown, placeholders
from npucc.frontend.problems import BAD_NODE, UNSUPPORTED_NODES, Malformed, NeedsValue, Unsupported, one_error
from npucc.frontend.registry import Importer, find_importer
from npucc.frontend.shapes import bind_shapes, declared_inputs
from npucc.frontend.tensors import tensor_to_array, type_name
from npucc.module_metadata import add_metadata
from npucc.results import NodeSupport
from npucc.types import Array, element_of, element_of_numpy, is_float, shape_of, tensor

MAX_CALL_DEPTH = 32
Scope = dict[str, Output | Unknown | None]
"""ONNX name -> value; None for an optional input of a function that the call leaves out."""
CONTROL_FLOW = {"If": import_if, "Loop": import_loop, "Scan": import_scan}
COMPILE_TIME = "its value is known at compile time"


@dataclass(frozen=True)
class ImportedModel:
    """A model in the graph dialect. `inputs` and `outputs`: ONNX names in order, with their shapes."""

    module: ModuleOp
    constants: ConstantStore
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    opset: int
    name: str


def import_model(
    source: ModelSource,
    *,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    fixed_inputs: Mapping[str, Array] | None = None,
    constants: ConstantStore | None = None,
) -> ImportedModel:
    """Import a model (path, bytes or ModelProto) for fixed input shapes.

    `dims` gives sizes to symbols (axis 2 of input x without a name: `x.2`), `input_shapes` to whole inputs.
    `fixed_inputs` become constants of the module (shapes, axes, options) and are no inputs of it any more. Errors:
    E0501-E0505 and E0508 for damaged models, E0506/E0507 for missing or contradicting sizes, E0510 with every
    unsupported node in `problems`.
    """
    loaded = load_model(source)
    work = GraphImport(loaded, constants if constants is not None else ConstantStore())
    work.run(dims, input_shapes, fixed_inputs)
    work.raise_problems()
    return work.finish()


class GraphImport:
    """One import: the module under construction, the support of each node, and all problems found."""

    def __init__(self, loaded: LoadedModel, constants: ConstantStore) -> None:
        self.loaded = loaded
        self.block = Block()
        self.build = GraphBuilder(self.block, constants)
        self.reports: list[NodeSupport] = []
        self.malformed: list[NpuError] = []
        self.unsupported: list[NpuError] = []
        self.inputs: dict[str, Shape] = {}
        self.needs_values: set[str] = set()
        """ONNX names of graph inputs whose values a node has to know."""
        self.model_work = ModelWork()
        self._scope: Scope = {}
        self._depth = 0
        self._labels = {id(node): node_label(node, index) for index, node in enumerate(loaded.proto.graph.node)}

    def run(
        self,
        dims: Mapping[str, int] | None,
        input_shapes: Mapping[str, Sequence[int]] | None,
        fixed_inputs: Mapping[str, Array] | None = None,
    ) -> None:
        """Import inputs, initializers and nodes; problems are collected."""
        model = self.loaded.proto
        self._add_inputs(dims, input_shapes, fixed_inputs or {})
        self._add_initializers(model.graph, self._scope)
        for node in self.loaded.nodes:
            label = self._label(node)
            self.build.node = label
            self.reports.append(self._import_reported(node, label))
        self.build.node = ""

    def _label(self, node: NodeProto) -> str:
        return self._labels.get(id(node)) or node.name or node.op_type

    # Inputs and initializers

    def _add_inputs(
        self,
        dims: Mapping[str, int] | None,
        input_shapes: Mapping[str, Sequence[int]] | None,
        fixed: Mapping[str, Array],
    ) -> None:
        declared = declared_inputs(self.loaded.proto.graph)
        given = {**(input_shapes or {}), **{name: np.shape(array) for name, array in fixed.items()}}
        shapes = bind_shapes(declared, dims, given)
        self.inputs = {name: shape for name, shape in shapes.items() if name not in fixed}
        self._scope.update({name: np.asarray(array) for name, array in fixed.items()})
        for entry in declared:
            if entry.name in fixed:
                continue
            try:
                element = element_of_numpy(onnx.helper.tensor_dtype_to_np_dtype(entry.element_type))
            except KeyError:
                rule = "inputs have an element type of the machine"
                self._refuse(f"input `{entry.name}`", Unsupported(rule, type_name(entry.element_type)))
                self._scope[entry.name] = Unknown()
                continue
            argument = self.block.insert_arg(tensor(self.inputs[entry.name], element), len(self.block.args))
            self._scope[entry.name] = argument

    def _add_initializers(self, proto: GraphProto, scope: Scope) -> None:
        for initializer in proto.initializer:
            where = f"initializer `{initializer.name}`"
            scope[initializer.name] = tensor_to_array(initializer, self.loaded.folder, where)
        for sparse in proto.sparse_initializer:
            rule = "initializers are dense"
            self._refuse(f"initializer `{sparse.values.name}`", Unsupported(rule, "a sparse initializer"))
            scope[sparse.values.name] = Unknown()

    # Nodes

    def _import_reported(self, node: NodeProto, label: str) -> NodeSupport:
        """Import one node of the main graph; a problem makes its outputs placeholders."""
        where = f"node `{label}` ({_qualified(node, self.loaded.opsets)})"
        before = self.build.count
        try:
            outputs, rule = self._import_node(node, label, self._scope, self.loaded.opsets)
        except Unsupported as problem:
            self.build.count = before
            if isinstance(problem, NeedsValue):
                self.needs_values |= self._inputs_behind(node, problem.index)
            self._refuse(where, problem)
            return self._give_up(node, label, problem)
        except (Malformed, VerifyException) as problem:
            found = problem if isinstance(problem, Malformed) else Malformed("shapes and types fit", str(problem))
            error = NpuError(BAD_NODE, f"a node does not fit: {found.rule}", where, found.found, found.remedy)
            self.malformed.append(error)
            return self._give_up(node, label, found)
        self._bind(node, outputs, self._scope)
        self._note_undefined(node)
        for name, value in zip(node.output, outputs):
            if name and isinstance(value, SSAValue):
                self.build.name_tensor(value, name)
        return NodeSupport(name=label, op=node.op_type, where="npu", rule=rule)

    def _inputs_behind(self, node: NodeProto, index: int) -> set[str]:
        """Graph inputs that the node's input `index` is computed from, not counting those that only give a shape.

        A problem in the body of a node gives an index of an inner node: then all count, except tensors of floats.
        """
        producers = {name: entry for entry in self.loaded.nodes for name in entry.output}
        direct = index < len(node.input) and not self._is_expanded(node)
        left = [node.input[index]] if direct else list(node_reads(node))
        seen: set[str] = set()
        while left:
            name = left.pop()
            if name and name not in seen and isinstance(self._scope.get(name), SSAValue | Unknown):
                seen.add(name)
                left += list(node_reads(producers[name])) if name in producers else []
        found = seen & self.inputs.keys()
        return found if direct else {name for name in found if not self._is_float_tensor(name)}

    def _is_float_tensor(self, name: str) -> bool:
        value = self._scope[name]
        return isinstance(value, SSAValue) and is_float(element_of(value)) and bool(shape_of(value))

    def _is_expanded(self, node: NodeProto) -> bool:
        """Whether the node is imported through a body."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        is_loop = node.op_type in CONTROL_FLOW and not domain
        return is_loop or find_importer(domain, node.op_type, self.loaded.opsets.get(domain, 1)) is None

    def _note_undefined(self, node: NodeProto) -> None:
        """Graph outputs must not be outputs that the importer left out."""
        if self.unsupported or self.malformed:
            return
        wanted = {output.name for output in self.loaded.proto.graph.output}
        for name in wanted.intersection(node.output):
            if isinstance(self._scope[name], Unknown):
                rule = "graph outputs are outputs that the importer makes"
                self._refuse(f"output `{name}`", Unsupported(rule, f"an optional output of {node.op_type}"))

    def _refuse(self, where: str, problem: Unsupported) -> None:
        remedy = problem.remedy or "replace it in the model, or run this part outside"
        self.unsupported.append(
            NpuError(
                UNSUPPORTED_NODES, f"not supported, since this must hold: {problem.rule}", where, problem.found, remedy
            )
        )

    def _give_up(self, node: NodeProto, label: str, problem: Unsupported | Malformed) -> NodeSupport:
        """Placeholders for the outputs, so that the nodes behind can still be checked."""
        values: Sequence[Output | Unknown] = [Unknown() for _ in node.output]
        if isinstance(problem, Unsupported):  # ONNX's shape inference is not robust against malformed nodes
            values = placeholders(node, self._scope, self.loaded.opsets, self.block)
        self._scope.update(zip(node.output, values))
        return NodeSupport(
            name=label,
            op=node.op_type,
            where="unsupported",
            rule=problem.rule,
            found=problem.found,
            remedy=problem.remedy,
        )

    def _bind(self, node: NodeProto, outputs: Sequence[Output | Unknown], scope: Scope) -> None:
        for index, name in enumerate(node.output):
            if name and index < len(outputs):
                scope[name] = outputs[index]
            elif name:
                scope[name] = Unknown()

    def _import_node(
        self, node: NodeProto, label: str, scope: Scope, opsets: Mapping[str, int]
    ) -> tuple[list[Output | Unknown], str]:
        """Outputs of a node, and the rule by which it is supported."""
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = opsets.get(domain, 1)
        importer = find_importer(domain, node.op_type, version)
        undefined = [name for name in node.input if name and name not in scope]
        if undefined:  # only in bodies of functions: the graph itself has been checked
            raise Malformed("a function body defines what it reads", ", ".join(undefined))
        inputs = [scope[name] if name else None for name in node.input]
        if any(isinstance(value, Unknown) for value in inputs):
            if importer is None and find_function(self.loaded.proto, node, domain, version, None) is None:
                raise _no_importer(node, domain, version)
            if not self.unsupported and not self.malformed:
                rule = "optional outputs that the importer does not make are not read"
                raise Unsupported(rule, f"inputs {', '.join(node.input)}")
            return [], "depends on an unsupported node"
        if any(isinstance(value, Bounded) for value in inputs):
            view = ImportNode(node, label, domain, version, [], self.build)
            return self._import_bounded(view, [v for v in inputs if not isinstance(v, Unknown)], importer)
        known = [value for value in inputs if not isinstance(value, Unknown | Bounded)]
        view = ImportNode(node, label, domain, version, known, self.build)
        if node.op_type in ("Constant", "ConstantOfShape", "Shape", "Size", "Identity") and importer:
            return _as_list(importer(view)), COMPILE_TIME
        folded = fold(view)
        if folded is not None:
            return list(folded), COMPILE_TIME
        if node.op_type in CONTROL_FLOW and not domain:
            return list(self._import_control_flow(view, scope, opsets)), "its steps are known at compile time"
        if importer is not None:
            outputs = _as_list(importer(view))
            self.model_work.note(view, outputs)
            return outputs, ""
        return self._import_function(view), "expanded to its function body"

    def _import_bounded(
        self, view: ImportNode, inputs: Sequence[Output | None], importer: Importer | None
    ) -> tuple[list[Output | Unknown], str]:
        """A node that reads a tensor whose shape depends on data, by the rule of its op."""

        def run(inner: ImportNode) -> list[Output]:
            outputs = self._import_function(inner) if importer is None else _as_list(importer(inner))
            return [output for output in outputs if not isinstance(output, Unknown)]

        outputs = apply_rule(view, inputs, run)
        if outputs is None:
            raise Unsupported("nodes read outputs whose shape is known", "an output whose shape depends on data")
        return list(outputs), "works on buffers of the greatest size"

    def _import_control_flow(
        self, view: ImportNode, scope: Scope, opsets: Mapping[str, int]
    ) -> Sequence[Output | Unknown]:
        """If, Loop or Scan; the bodies see the values around them."""

        def run(body: GraphProto, arguments: Mapping[str, Value]) -> list[Value | Unknown]:
            inner: Scope = {**scope, **arguments}
            self._add_initializers(body, inner)
            self._import_nodes(body.node, view.label, inner, opsets)
            outputs = self._results([value.name for value in body.output], inner)
            return [Unknown() if isinstance(value, Bounded) else value for value in outputs]

        return CONTROL_FLOW[view.op_type](view, run)

    def _import_function(self, view: ImportNode) -> list[Output | Unknown]:
        """A node without importer function, by the body that the model or the ONNX schema gives for it."""
        body = find_function(self.loaded.proto, view.proto, view.domain, view.opset, view)
        if body is None:
            raise _no_importer(view.proto, view.domain, view.opset)
        inner: Scope = {name: view.inputs[i] if view.has(i) else None for i, name in enumerate(body.inputs)}
        # Bodies of other domains may leave out the import of ONNX's own.
        opsets = {"": self.loaded.opsets[""], **body.opsets}
        self._import_nodes(body.nodes, view.label, inner, opsets)
        return self._results(body.outputs, inner)

    def _import_nodes(self, nodes: Sequence[NodeProto], label: str, scope: Scope, opsets: Mapping[str, int]) -> None:
        """Nodes of a body, all with the provenance of the node that they belong to."""
        if self._depth >= MAX_CALL_DEPTH:
            raise Unsupported(f"functions nest at most {MAX_CALL_DEPTH} deep", "a deeper (or recursive) call")
        self._depth += 1
        try:
            for node in nodes:
                outputs, _ = self._import_node(node, label, scope, opsets)
                self._bind(node, outputs, scope)
        finally:
            self._depth -= 1

    @staticmethod
    def _results(names: Sequence[str], scope: Scope) -> list[Output | Unknown]:
        """The outputs of a body; those that this call leaves undefined are Unknown."""
        values = [scope.get(name) for name in names]
        return [Unknown() if value is None else value for value in values]

    # The end

    def raise_problems(self) -> None:
        """One error for damaged nodes, else one for all unsupported ones."""
        name = self.loaded.name
        if self.malformed:
            raise one_error(BAD_NODE, "nodes of the model do not fit their inputs", name, self.malformed)
        if self.unsupported:
            raise NpuError(
                UNSUPPORTED_NODES,
                "the model uses what the compiler does not support",
                where=name,
                found=f"{len(self.unsupported)} unsupported nodes or values",
                remedy="see each of them below",
                problems=self.unsupported,
            )

    def finish(self) -> ImportedModel:
        """The module: func.func @main with the names of inputs and outputs; constants without a use are dropped."""
        names = [output.name for output in self.loaded.proto.graph.output]
        results = [self._output(name) for name in names]
        self.block.add_op(func.ReturnOp(*results))
        for op in reversed(list(self.block.ops)):
            if isinstance(op, graph.GraphOp) and op.result.first_use is None:
                op.detach()
                op.erase()
        used = {op.symbol_name for op in self.block.ops if isinstance(op, graph.ConstantOp)}
        self.build.constants.keep_only(used)
        types = FunctionType.from_lists([arg.type for arg in self.block.args], [value.type for value in results])
        main = func.FuncOp("main", types, Region(self.block))
        main.attributes["npucc.inputs"] = ArrayAttr([StringAttr(name) for name in self.inputs])
        main.attributes["npucc.outputs"] = ArrayAttr([StringAttr(name) for name in names])
        outputs = {name: shape_of(value) for name, value in zip(names, results)}
        opset = self.loaded.opsets[""]
        module = ModuleOp([main])
        add_metadata(module, self.model_work.metadata())
        return ImportedModel(module, self.build.constants, self.inputs, outputs, opset, self.loaded.name)

    def _output(self, name: str) -> SSAValue:
        value = self._scope[name]
        if value is None or isinstance(value, Unknown):
            raise TypeError(f"output {name} has no value although no problem was reported")
        if isinstance(value, Bounded):
            raise TypeError(f"output {name} has a shape that depends on data")
        return value if isinstance(value, SSAValue) else self.build.constant(value, name)


def _as_list(outputs: Output | Sequence[Output]) -> list[Output | Unknown]:
    return [outputs] if isinstance(outputs, SSAValue | np.ndarray | np.generic | Bounded) else list(outputs)


def _qualified(node: NodeProto, opsets: Mapping[str, int]) -> str:
    domain = node.domain or "ai.onnx"
    version = opsets.get("" if domain == "ai.onnx" else domain, 0)
    return f"{domain}.{node.op_type}, opset {version}"


def _no_importer(node: NodeProto, domain: str, version: int) -> Unsupported:
    found = f"{domain or 'ai.onnx'}.{node.op_type} at opset {version}"
    return Unsupported("the op has an importer function or a function body", found)
