"""What is not supported: the complete list with rule, found value and remedy; provenance of what is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from npucc.dialects.graph import nodes_of
from npucc.frontend import ImportNode, check_model, import_model, onnx_op, registry, supported_ops
from npucc.frontend.builder import TENSOR
from npuisa.errors import ExitCode, NpuError
from onnx import TensorProto, helper

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])


def model_of(nodes: list[onnx.NodeProto], outputs: list[str], **extra: int) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "m", [X], [helper.make_empty_tensor_value_info(name) for name in outputs])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    return helper.make_model(graph, opset_imports=imports, **extra)


MIXED = [
    helper.make_node("Find", ["x"], ["a"], name="find", domain="com.example"),
    helper.make_node("Relu", ["x"], ["b"], name="good"),
    helper.make_node("Rotate", ["b"], ["c"], name="mystery", domain="com.example"),
    helper.make_node("Twist", ["c"], ["d"], name="behind", domain="com.example"),
    helper.make_node("Add", ["b", "c"], ["e"], name="depends"),
]


def test_all_unsupported_nodes_are_listed():
    with pytest.raises(NpuError) as caught:
        import_model(model_of(MIXED, ["a", "d", "e"]))
    error = caught.value
    assert error.entry.code == "NPU-E0510"
    assert error.entry.exit_code == ExitCode.UNSUPPORTED
    assert [problem.where.split("`")[1] for problem in error.problems] == ["find", "mystery", "behind"]
    assert "com.example.Rotate, opset 1" in error.problems[1].where
    assert all(problem.remedy and problem.found for problem in error.problems)


def test_check_reports_every_node():
    reports = check_model(model_of(MIXED, ["a", "d", "e"]))
    assert [report.name for report in reports] == ["find", "good", "mystery", "behind", "depends"]
    assert [report.where for report in reports] == ["unsupported", "npu", "unsupported", "unsupported", "npu"]


def test_constants_are_computed_at_compile_time():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
        helper.make_node("Add", ["s", "one"], ["t"]),
        helper.make_node("ConstantOfShape", ["t"], ["y"]),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    imported = import_model(model_of(nodes, ["y", "z"]))
    assert imported.outputs == {"y": (3, 4), "z": (2, 3)}
    assert {op.name for op in imported.module.walk()} == {
        "builtin.module", "func.func", "func.return", "graph.constant",
    }  # fmt: skip


def test_provenance_and_tensor_names():
    nodes = [
        helper.make_node("HardSwish", ["x"], ["h"], name="act"),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    ops = {op.name: op for op in import_model(model_of(nodes, ["y"])).module.walk()}
    assert nodes_of(ops["graph.hard_sigmoid"]) == nodes_of(ops["graph.mul"]) == ("act",)
    assert nodes_of(ops["graph.relu"]) == ("Relu_1",)
    assert TENSOR not in ops["graph.hard_sigmoid"].attributes
    assert ops["graph.mul"].attributes[TENSOR].data == "h"  # type: ignore[attr-defined]


def test_functions_of_the_model_are_expanded(run):
    body = [
        helper.make_node("LeakyRelu", ["v"], ["t"]),
        helper.make_node("Mul", ["t", "t"], ["w"]),
    ]
    reference = body[0].attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    opset = [helper.make_opsetid("", 17)]
    function = helper.make_function("com.example", "Squared", ["v"], ["w"], body, opset, ["slope"])
    call = helper.make_node("Squared", ["x"], ["y"], name="call", domain="com.example", slope=0.5)
    x = np.array([[-2, 1, 0], [3, -1, 5]], np.float32)
    result = run(model_of([call], ["y"], functions=[function]), {"x": x})[0]
    np.testing.assert_allclose(result, np.where(x < 0, 0.5 * x, x) ** 2)


def test_recursive_functions_end():
    opset = [helper.make_opsetid("com.example", 1)]
    inner = helper.make_node("Loop", ["v"], ["w"], domain="com.example")
    function = helper.make_function("com.example", "Loop", ["v"], ["w"], [inner], opset)
    call = helper.make_node("Loop", ["x"], ["y"], domain="com.example")
    with pytest.raises(NpuError, match="nest at most"):
        import_model(model_of([call], ["y"], functions=[function]))


def test_branches_with_a_known_condition(run):
    then = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["p"])], "t", [], [helper.make_empty_tensor_value_info("p")]
    )
    other = helper.make_graph(
        [helper.make_node("Det", ["x"], ["q"])], "e", [], [helper.make_empty_tensor_value_info("q")]
    )
    value = helper.make_tensor("v", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("Constant", [], ["cond"], value=value),
        helper.make_node("If", ["cond"], ["y"], then_branch=then, else_branch=other),
    ]
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(model_of(nodes, ["y"]), {"x": x})[0], -x)


def test_a_package_may_add_an_op(monkeypatch, run):
    monkeypatch.setattr(registry, "_TABLE", {**registry._TABLE})

    @onnx_op("Twice", domain="com.example")
    def twice(node: ImportNode):
        return node.build.scaled(node.input(0), 2.0)

    call = helper.make_node("Twice", ["x"], ["y"], domain="com.example")
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(model_of([call], ["y"]), {"x": x})[0], 2 * x)
    with pytest.raises(ValueError, match="two importer functions"):
        onnx_op("Twice", domain="com.example")(twice)


def test_op_table_names_exist_in_onnx():
    """But for ops that ONNX withdrew and those that exporters write under ONNX's domain; each has a file of its own."""
    unknown = [name for domain, name in supported_ops() if not domain and not onnx.defs.has(name)]
    files = {function.__module__ for name in unknown for function in registry._TABLE["", name].values()}
    assert {file.rpartition(".")[2].partition("_")[0] for file in files} <= {"experimental", "contrib"}
