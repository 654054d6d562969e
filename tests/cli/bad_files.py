"""Damaged and absurd input files: each function writes one and gives the command and the exit code it deserves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
from npuisa.errors import ExitCode
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
DIGITS = Path(str(resources.files("npucc").joinpath("data", "digits.onnx")))


@dataclass(frozen=True)
class BadFile:
    """`arguments` of npucc (the file is in them), and the exit code."""

    arguments: list[str]
    exit_code: ExitCode


CASES: dict[str, Callable[[Path], BadFile]] = {}


def case(function: Callable[[Path], BadFile]) -> Callable[[Path], BadFile]:
    CASES[function.__name__] = function
    return function


def bad_bytes(folder: Path, data: bytes, name: str = "bad.onnx") -> BadFile:
    path = folder / name
    path.write_bytes(data)
    return BadFile(["check" if name.endswith(".onnx") else "run", str(path)], ExitCode.BAD_INPUT)


def model(
    nodes: list[onnx.NodeProto],
    *,
    shape: list[int | str] | None = None,
    initializers: list[onnx.TensorProto] | None = None,
    output: str = "y",
    opset: int = 17,
    element: int = FLOAT,
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", element, [1, 4] if shape is None else shape)]
    outputs = [onnx.ValueInfoProto(name=output)]
    outputs[0].type.tensor_type.elem_type = element
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers or [])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def bad_model(
    folder: Path, proto: onnx.ModelProto, code: ExitCode = ExitCode.BAD_INPUT, verb: str = "compile"
) -> BadFile:
    path = folder / "bad.onnx"
    path.write_bytes(proto.SerializeToString())
    return BadFile([verb, str(path)], code)


def relu(x: str = "x", y: str = "y", name: str = "relu") -> onnx.NodeProto:
    return helper.make_node("Relu", [x], [y], name)


# --- ONNX files that are no models ---------------------------------------------------------------------------


@case
def truncated(folder: Path) -> BadFile:
    return bad_bytes(folder, DIGITS.read_bytes()[: DIGITS.stat().st_size // 2])


@case
def empty(folder: Path) -> BadFile:
    return bad_bytes(folder, b"")


@case
def random_bytes(folder: Path) -> BadFile:
    return bad_bytes(folder, np.random.default_rng(0).bytes(4096))


@case
def text(folder: Path) -> BadFile:
    return bad_bytes(folder, b"this is no model\n" * 100)


@case
def missing_file(folder: Path) -> BadFile:
    return BadFile(["check", str(folder / "nowhere.onnx")], ExitCode.BAD_INPUT)


@case
def a_folder(folder: Path) -> BadFile:
    (folder / "dir.onnx").mkdir()
    return BadFile(["check", str(folder / "dir.onnx")], ExitCode.BAD_INPUT)


@case
def nested_to_death(folder: Path) -> BadFile:
    """Subgraphs 500 deep (protobuf's Python parsers stop at 100)."""
    inner = helper.make_graph([relu()], "g", [], [onnx.ValueInfoProto(name="y")]).SerializeToString()
    for _ in range(500):
        # GraphProto.node (1) { op_type (4) = "If", attribute (5) { name (1), type (20) = GRAPH, g (6) } }
        attribute = field(1, b"then_branch") + field(6, inner) + bytes([0xA0, 0x01, 5])
        inner = field(1, field(4, b"If") + field(5, attribute))
    return bad_bytes(folder, bytes([8, 8]) + field(8, bytes([16, 17])) + field(7, inner))


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, encoded = len(data), bytearray([number << 3 | 2])
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(encoded) + bytes([size]) + data


# --- graphs that break a rule --------------------------------------------------------------------------------


@case
def cycle(folder: Path) -> BadFile:
    return bad_model(folder, model([relu("b", "a", "one"), relu("a", "b", "two"), relu("b", "y", "three")]))


@case
def missing_initializer(folder: Path) -> BadFile:
    return bad_model(folder, model([helper.make_node("Add", ["x", "bias"], ["y"], "add")]))


@case
def two_producers(folder: Path) -> BadFile:
    return bad_model(folder, model([relu(name="one"), relu(name="two")]))


@case
def no_outputs(folder: Path) -> BadFile:
    proto = model([relu()])
    del proto.graph.output[:]
    return bad_model(folder, proto)


@case
def unknown_output(folder: Path) -> BadFile:
    return bad_model(folder, model([relu()], output="z"))


@case
def wrong_element_type(folder: Path) -> BadFile:
    weights = numpy_helper.from_array(np.ones((4, 4), np.int64), "w")
    return bad_model(folder, model([helper.make_node("MatMul", ["x", "w"], ["y"], "mm")], initializers=[weights]))


@case
def undefined_element_type(folder: Path) -> BadFile:
    return bad_model(folder, model([relu()], element=999))


@case
def wrong_number_of_inputs(folder: Path) -> BadFile:
    return bad_model(folder, model([helper.make_node("Add", ["x"], ["y"], "add")]))


@case
def shapes_do_not_fit(folder: Path) -> BadFile:
    weights = numpy_helper.from_array(np.ones((7, 4), np.float32), "w")
    return bad_model(folder, model([helper.make_node("MatMul", ["x", "w"], ["y"], "mm")], initializers=[weights]))


@case
def impossible_reshape(folder: Path) -> BadFile:
    shape = numpy_helper.from_array(np.array([3, 5], np.int64), "s")
    return bad_model(folder, model([helper.make_node("Reshape", ["x", "s"], ["y"], "r")], initializers=[shape]))


@case
def nan_scales(folder: Path) -> BadFile:
    scales = numpy_helper.from_array(np.array([1, 1, np.nan, np.inf], np.float32), "s")
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], "resize", mode="nearest")
    return bad_model(folder, model([node], shape=[1, 1, 4, 4], initializers=[scales]))


@case
def negative_extent(folder: Path) -> BadFile:
    return bad_model(folder, model([relu()], shape=[1, -7]), ExitCode.USAGE)


# --- absurd sizes and damaged tensors ------------------------------------------------------------------------


@case
def huge_initializer(folder: Path) -> BadFile:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[1 << 30, 1 << 30], raw_data=b"\0" * 16)
    return bad_model(folder, model([helper.make_node("Add", ["x", "w"], ["y"], "add")], initializers=[tensor]))


@case
def huge_input(folder: Path) -> BadFile:
    return bad_model(folder, model([relu()], shape=[1 << 30, 1 << 30]))


@case
def huge_constant_of_shape(folder: Path) -> BadFile:
    shape = numpy_helper.from_array(np.array([1 << 40], np.int64), "s")
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], "fill"),
        helper.make_node("Add", ["c", "x"], ["y"], "add"),
    ]
    return bad_model(folder, model(nodes, shape=[1], initializers=[shape]))


@case
def short_raw_data(folder: Path) -> BadFile:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4, 4], raw_data=b"\0" * 12)
    return bad_model(folder, model([helper.make_node("MatMul", ["x", "w"], ["y"], "mm")], initializers=[tensor]))


def external(folder: Path, location: str, offset: str = "0") -> BadFile:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", "64")):
        tensor.external_data.add(key=key, value=value)
    return bad_model(folder, model([helper.make_node("MatMul", ["x", "w"], ["y"], "mm")], initializers=[tensor]))


@case
def external_data_outside(folder: Path) -> BadFile:
    return external(folder, "../../../../etc/passwd")


@case
def external_data_absolute(folder: Path) -> BadFile:
    return external(folder, "/etc/passwd")


@case
def external_data_missing(folder: Path) -> BadFile:
    return external(folder, "weights.bin")


@case
def external_data_too_short(folder: Path) -> BadFile:
    (folder / "weights.bin").write_bytes(b"\0" * 60)
    return external(folder, "weights.bin")


@case
def external_data_through_a_link(folder: Path) -> BadFile:
    (folder / "weights.bin").symlink_to("/dev/zero")
    return external(folder, "weights.bin")


# --- what the compiler or the target cannot do ---------------------------------------------------------------


@case
def unknown_operator(folder: Path) -> BadFile:
    node = helper.make_node("FlyToTheMoon", ["x"], ["y"], "fly", domain="com.example")
    return bad_model(folder, model([node]), ExitCode.UNSUPPORTED)


@case
def opset_of_the_future(folder: Path) -> BadFile:
    return bad_model(folder, model([relu()], opset=9999), ExitCode.UNSUPPORTED)


@case
def symbolic_without_size(folder: Path) -> BadFile:
    return BadFile(["compile", str(DIGITS), "-o", str(folder / "d.npu")], ExitCode.USAGE)


@case
def float_model_on_an_int8_target(folder: Path) -> BadFile:
    arguments = ["compile", str(DIGITS), "--dim", "batch=1", "-t", "ethos-u65-512", "-o", str(folder / "d.npu")]
    return BadFile(arguments, ExitCode.DOES_NOT_FIT)


# --- other kinds of files ------------------------------------------------------------------------------------


@case
def program_of_random_bytes(folder: Path) -> BadFile:
    return bad_bytes(folder, np.random.default_rng(1).bytes(4096), "bad.npu")


@case
def empty_program(folder: Path) -> BadFile:
    return bad_bytes(folder, b"", "bad.npu")


@case
def assembly_syntax(folder: Path) -> BadFile:
    (folder / "bad.npuasm").write_text(".target edge-4t\n  mx.gemm acc[, a b\n")
    return BadFile(["asm", str(folder / "bad.npuasm")], ExitCode.BAD_INPUT)


@case
def assembly_unknown_names(folder: Path) -> BadFile:
    (folder / "bad.npuasm").write_text(".target edge-4t\n  dma0.copy nowhere, nothing\n  s.halt\n")
    return BadFile(["asm", str(folder / "bad.npuasm")], ExitCode.BAD_INPUT)


def target_text() -> str:
    return resources.files("npuisa").joinpath("targets", "edge-4t.toml").read_text()


@case
def target_with_unknown_key(folder: Path) -> BadFile:
    (folder / "bad.toml").write_text(target_text().replace("clock_ghz", "clok_ghz"))
    return BadFile(["target", "validate", str(folder / "bad.toml")], ExitCode.BAD_INPUT)


@case
def target_with_wrong_types(folder: Path) -> BadFile:
    (folder / "bad.toml").write_text(
        target_text().replace("rows = 32", 'rows = "many"').replace("cols = 32", "cols = -1")
    )
    return BadFile(["profile", str(DIGITS), "--dim", "batch=1", "-t", str(folder / "bad.toml")], ExitCode.BAD_INPUT)


@case
def target_that_is_no_toml(folder: Path) -> BadFile:
    (folder / "bad.toml").write_text("[[[")
    return BadFile(["target", "show", str(folder / "bad.toml")], ExitCode.BAD_INPUT)


@case
def unknown_target(folder: Path) -> BadFile:
    return BadFile(["target", "show", "edge-5t"], ExitCode.USAGE)


def with_inputs(path: Path) -> BadFile:
    return BadFile(["run", str(DIGITS), "--inputs", str(path)], ExitCode.BAD_INPUT)


@case
def inputs_that_are_no_npz(folder: Path) -> BadFile:
    (folder / "x.npz").write_bytes(b"PK\3\4 but not for long")
    return with_inputs(folder / "x.npz")


@case
def pickled_inputs(folder: Path) -> BadFile:
    np.savez(folder / "x.npz", image=np.array([{"a": 1}], dtype=object))
    return with_inputs(folder / "x.npz")


@case
def inputs_of_another_shape(folder: Path) -> BadFile:
    np.savez(folder / "x.npz", image=np.zeros((1, 3, 224, 224), np.float32))
    return BadFile(["run", str(DIGITS), "--inputs", str(folder / "x.npz")], ExitCode.USAGE)


@case
def inputs_of_another_type(folder: Path) -> BadFile:
    np.savez(folder / "x.npz", image=np.zeros((1, 1, 8, 8), np.int32))
    return with_inputs(folder / "x.npz")


@case
def inputs_that_explode(folder: Path) -> BadFile:
    """64 GB of zeros in a few bytes: declared in the header, and a header that lies."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 17, 1 << 17)})
    with zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", stream.getvalue() + b"\0" * 4096)
    return with_inputs(folder / "x.npz")


@case
def ir_syntax(folder: Path) -> BadFile:
    (folder / "bad.mlir").write_text("builtin.module { func.func @main( { }\n")
    return BadFile(["opt", str(folder / "bad.mlir")], ExitCode.BAD_INPUT)


@case
def ir_that_does_not_verify(folder: Path) -> BadFile:
    (folder / "bad.mlir").write_text(
        '%0 = "test.op"() : () -> tensor<2xf32>\n'
        '%1 = "test.op"() : () -> tensor<3xf32>\n'
        '%2 = "graph.add"(%0, %1) : (tensor<2xf32>, tensor<3xf32>) -> tensor<2xf32>\n'
    )
    return BadFile(["opt", str(folder / "bad.mlir")], ExitCode.BAD_INPUT)


def bad_ir(folder: Path, body: str) -> BadFile:
    (folder / "bad.mlir").write_text(f"func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {{\n{body}\n}}\n")
    return BadFile(["compile", str(folder / "bad.mlir"), "--emit", "npu"], ExitCode.BAD_INPUT)


@case
def ir_with_an_operand_too_few(folder: Path) -> BadFile:
    body = "%r = graph.add(%x) : (tensor<4xf32>) -> tensor<4xf32>\nfunc.return %r : tensor<4xf32>"
    return bad_ir(folder, body)


@case
def ir_with_a_string_without_end(folder: Path) -> BadFile:
    """A lexer that tries every way to split the text would not come back."""
    return bad_ir(folder, '"' + "func" * 400)


@case
def ir_with_a_use_before_the_value(folder: Path) -> BadFile:
    t = "tensor<4xf32>"
    body = f"%r = graph.exp(%s) : ({t}) -> {t}\n%s = graph.exp(%x) : ({t}) -> {t}\nfunc.return %r : {t}"
    return bad_ir(folder, body)


@case
def ir_with_two_functions(folder: Path) -> BadFile:
    text = "func.func @{} (%x: tensor<4xf32>) -> tensor<4xf32> {{ func.return %x : tensor<4xf32> }}\n"
    (folder / "bad.mlir").write_text(text.format("a") + text.format("main"))
    return BadFile(["run", str(folder / "bad.mlir")], ExitCode.BAD_INPUT)


@case
def ir_with_an_endless_loop(folder: Path) -> BadFile:
    (folder / "bad.mlir").write_text("""
func.func @main(%x: memref<1xf32, #tile.space<dram>>, %y: memref<1xf32, #tile.space<dram>>)
    attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]} {
  tile.group "g" index 0 nodes [] {
    %p = tile.pool "p" in <sram> depth 1 slot_bytes 64
    %low = arith.constant 0 : index
    %high = arith.constant 1099511627776 : index
    %one = arith.constant 1 : index
    scf.for %i = %low to %high step %one {
      %a = tile.acquire %p : memref<1xf32, #tile.space<sram>>
      tile.copy %x -> %a engine "dma0" : memref<1xf32, #tile.space<dram>> -> memref<1xf32, #tile.space<sram>>
    }
  }
  func.return
}
""")
    return BadFile(["run", str(folder / "bad.mlir")], ExitCode.UNSUPPORTED)
