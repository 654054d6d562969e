"""Complex tensors: moved by every operator that ONNX allows them in; a clear error where one computes with them."""

from __future__ import annotations

import npucc
import npucc.backend as backend
import numpy as np
import onnx
import pytest
from npucc.conformance.outcome import run_case
from npucc.conformance.retyped import Retyped, retyped_cases
from npucc.frontend.complex_parts import OPERANDS, joined_arrays, joined_names, split_arrays
from npuisa.errors import NpuError
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
Z = (RNG.normal(size=(2, 3, 4)) + 1j * RNG.normal(size=(2, 3, 4))).astype(np.complex64)


def model_of(nodes, inputs, outputs, initializers=()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in initializers])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def info(name: str, shape, element: int = TensorProto.COMPLEX64) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


@pytest.mark.parametrize("op", sorted(OPERANDS))
def test_every_operator_moves_complex_numbers(op):
    """Against onnx.reference, in both types."""
    cases = [c for c in retyped_cases(op) if isinstance(c, Retyped) and c.element.startswith("complex")]
    for each in cases:
        outcome = run_case(each.case)
        assert outcome.result == "pass" and not outcome.host, (each.element, outcome)


def test_a_model_with_constants_selection_and_shapes():
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.complex64(2 - 3j))),
        helper.make_node("Transpose", ["z"], ["t"], perm=[2, 0, 1], name="turn"),
        helper.make_node("Where", ["mask", "t", "c"], ["selected"]),
        helper.make_node("Concat", ["selected", "w"], ["y"], axis=0),
        helper.make_node("Shape", ["y"], ["shape"]),
    ]
    w = (np.arange(6).reshape(1, 2, 3) * (1 - 2j)).astype(np.complex64)
    mask = RNG.random((4, 2, 3)) < 0.5
    inputs = [info("z", [2, 3, 4]), info("mask", [4, 2, 3], TensorProto.BOOL)]
    outputs = [info("y", [5, 2, 3]), info("shape", [3], TensorProto.INT64)]
    model = model_of(nodes, inputs, outputs, [("w", w)])
    onnx.checker.check_model(model, full_check=True)
    y, shape = backend.prepare(model).run([Z, mask])
    assert y.dtype == np.complex64
    np.testing.assert_array_equal(y, np.concatenate([np.where(mask, Z.transpose(2, 0, 1), np.complex64(2 - 3j)), w]))
    assert shape.tolist() == [5, 2, 3]


def test_nonzero():
    z = np.array([[0, 1j, 2], [0, -0.0, 3 + 4j]], np.complex64)
    model = model_of([helper.make_node("NonZero", ["z"], ["y"])], [info("z", [2, 3])], [info("y", [2, None], 7)])
    np.testing.assert_array_equal(backend.prepare(model).run([z])[0], np.nonzero(z))


def test_programs_have_a_port_for_each_part():
    model = model_of([helper.make_node("Identity", ["z"], ["y"])], [info("z", [2, 3, 4])], [info("y", [2, 3, 4])])
    program = npucc.compile(model)
    assert [port.name for port in program.inputs] == ["z.real", "z.imag"]
    outputs = npucc.simulate(program, {"z": Z}).outputs
    np.testing.assert_array_equal(joined_arrays(outputs)["y"], Z)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Unique", ["z"], ["y"]),
        helper.make_node("ScatterElements", ["z", "i", "z"], ["y"], reduction="mul"),
        helper.make_node("BitCast", ["z"], ["y"], to=TensorProto.INT64),
    ],
    ids=lambda node: node.op_type,
)
def test_computing_with_complex_numbers_is_refused_by_name(node):
    inputs = [info("z", [2, 3, 4]), info("i", [2, 3, 4], TensorProto.INT64)]
    model = model_of([node], inputs, [onnx.ValueInfoProto(name="y")])
    with pytest.raises(NpuError, match="complex numbers are moved") as error:
        npucc.compile(model)
    assert error.value.entry.code == "NPU-E0510"


def test_bodies_with_complex_numbers_are_refused():
    body = helper.make_graph([helper.make_node("Identity", ["z"], ["b"])], "body", [], [info("b", [2, 3, 4])])
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    model = model_of([node], [info("z", [2, 3, 4]), info("c", [], TensorProto.BOOL)], [info("y", [2, 3, 4])])
    with pytest.raises(NpuError, match="NPU-E0510"):
        npucc.compile(model)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_parts_and_wholes(dtype):
    values = {"a": Z.astype(dtype), "x.real": np.ones(3), "n": np.arange(2)}
    parts = split_arrays(values)
    assert list(parts) == ["a.real", "a.imag", "x.real", "n"]
    assert joined_names(list(parts)) == ["a", "x.real", "n"]
    whole = joined_arrays(parts)
    assert whole["a"].dtype == dtype
    np.testing.assert_array_equal(whole["a"], values["a"])
