"""Tensors of every type as they stand in ONNX files: raw, typed and external data, packed or not."""

from __future__ import annotations

import npucc
import numpy as np
import pytest
from npucc.driver import make_context
from npucc.frontend.tensors import tensor_to_array
from npuisa.assembly import assemble_file
from npuisa.disassembly import disassemble, disassemble_to
from npuisa.dtypes import DTYPES
from npuisa.errors import NpuError
from npuisa.program_file import load, save
from onnx import TensorProto, helper, numpy_helper
from test_array_files import values
from xdsl.parser import Parser

ALL = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@ALL
@pytest.mark.parametrize("shape", [(3, 3), (5,), (), (2, 0)], ids=str)
def test_raw_data(dtype, shape):
    array = values(dtype, shape)
    found = tensor_to_array(numpy_helper.from_array(array), None)
    assert found.dtype == array.dtype and found.tobytes() == array.tobytes()


@ALL
def test_typed_data(dtype):
    """Values in `int32_data` and its sisters."""
    array = values(dtype, (7,))
    if dtype.is_float and dtype.bits > 8:
        array = np.where(np.isnan(array.astype(np.float64)), 0, array).astype(array.dtype)
    number = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = helper.make_tensor("t", number, array.shape, array)
    assert not tensor.HasField("raw_data")
    found = tensor_to_array(tensor, None)
    np.testing.assert_array_equal(found.astype(np.float64), array.astype(np.float64))


@ALL
def test_truncated_data_is_refused(dtype):
    tensor = numpy_helper.from_array(values(dtype, (9,)))
    tensor.raw_data = tensor.raw_data[:-1]
    with pytest.raises(NpuError, match="NPU-E0503"):
        tensor_to_array(tensor, None)


@ALL
def test_constants_and_ports_through_program_file_and_assembly(tmp_path, dtype):
    """A model that selects between an input and a constant: program file, assembly text and constants file keep it."""
    constant = values(dtype, (4, 6))
    number = helper.np_dtype_to_tensor_dtype(constant.dtype)
    x = helper.make_tensor_value_info("x", number, [4, 6])
    y = helper.make_tensor_value_info("y", number, [8, 6])
    weights = numpy_helper.from_array(constant, "w")
    node = helper.make_node("Concat", ["x", "w"], ["y"], axis=0)
    graph = helper.make_graph([node], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)
    program = npucc.compile(model)
    save(program, tmp_path / "m.npu")
    loaded = load(tmp_path / "m.npu")
    assert disassemble(loaded) == disassemble(program)
    disassemble_to(program, tmp_path / "m.npuasm")
    given = constant[::-1].copy()
    expected = np.concatenate([given, constant])
    for each in (loaded, assemble_file(tmp_path / "m.npuasm")):
        assert npucc.simulate(each, {"x": given}).outputs["y"].tobytes() == expected.tobytes()


@ALL
def test_ir_text(dtype):
    """At every level the printed module is parsed to the same text."""
    number = helper.np_dtype_to_tensor_dtype(dtype.numpy)
    info = [helper.make_tensor_value_info(name, number, [4, 6]) for name in ("a", "b")]
    nodes = [
        helper.make_node("Cast", ["a"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["f"], ["r"]),
        helper.make_node("Cast", ["r"], ["b"], to=number),
    ]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)
    texts: list[str] = []
    npucc.compile(model, observe=lambda step, module: texts.append(str(module)))
    for text in dict.fromkeys(texts):
        assert str(Parser(make_context(), text).parse_module()) == text
