"""`npucc check`: where each node of a model runs, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from npuisa.target import Target
from onnx import NodeProto, TensorProto, TypeProto, helper

from npucc.constants import ConstantStore
from npucc.frontend.deferral import How
from npucc.frontend.eligibility import COMPUTED_EARLIER
from npucc.frontend.importer import GraphImport
from npucc.frontend.load import LoadedModel, ModelSource, load_model
from npucc.frontend.node_support import domain_of, has_body
from npucc.frontend.shapes import KINDS
from npucc.results import NodeSupport

ONE_PROGRAM = "make the value a constant of the model if it shall be a single program"


def check_model(
    source: ModelSource,
    target: Target | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> list[NodeSupport]:
    """One entry per node, in execution order. Errors: damaged models and missing sizes as in `import_model`.

    What the importer accepts runs on every target; `target` is taken for rules of single targets. A node that only a
    later program can hold is checked for its op and for the kinds of its operands, which ONNX's inference gives.
    """
    del target
    loaded = load_model(source)
    work = GraphImport(loaded, ConstantStore())
    work.run(dims, input_shapes)
    how = {entry.label: entry.how for entry in work.deferred}
    kinds = _kinds(loaded) if How.HOST in how.values() else {}
    nodes = zip(work.code.nodes, work.reports)
    return [_located(loaded, node, report, how.get(report.name), kinds) for node, report in nodes]


def _located(
    loaded: LoadedModel, node: NodeProto, report: NodeSupport, how: How | None, kinds: Mapping[str, str]
) -> NodeSupport:
    """The report of a deferred node: on the host if it handles what is no tensor of numbers."""
    if how is not How.LATER:
        return report
    found = next(((name, kinds[name]) for name in (*node.input, *node.output) if name in kinds), None)
    if found is None:
        return report if report.rule == COMPUTED_EARLIER else report.model_copy(update={"remedy": ONE_PROGRAM})
    version = loaded.opsets.get(domain_of(node), 1)
    where = "npu" if has_body(loaded.proto, node, version) else "host"
    rule = "the NPU computes with tensors of numbers"
    return report.model_copy(update={"where": where, "rule": rule, "found": f"`{found[0]}`, {found[1]}"})


def _kinds(loaded: LoadedModel) -> dict[str, str]:
    """Strings, sequences and optionals by name, by ONNX's own inference; weights are left out of it."""
    graph = loaded.proto.graph
    weights = [helper.make_tensor_value_info(entry.name, entry.data_type, entry.dims) for entry in graph.initializer]
    names = {entry.name for entry in weights}
    inputs = [*weights, *(entry for entry in graph.input if entry.name not in names)]
    bare = helper.make_graph(list(loaded.nodes), graph.name, inputs, list(graph.output))
    model = helper.make_model(bare, functions=list(loaded.proto.functions), opset_imports=loaded.proto.opset_import)
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = bare
    found: dict[str, str] = {}
    for entry in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = _kind(entry.type)
        if kind:
            found[entry.name] = kind
    return found


def _kind(type_: TypeProto) -> str:
    name = type_.WhichOneof("value")
    if name == "tensor_type":
        return "strings" if type_.tensor_type.elem_type == TensorProto.STRING else ""
    return KINDS.get(str(name), "")
