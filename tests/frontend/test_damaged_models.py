"""Damaged and hostile models: always an NpuError with a code of the importer, never a crash, never much memory."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from npucc.frontend import import_model
from npuisa.errors import ExitCode, NpuError
from onnx import TensorProto, helper, numpy_helper

MEMORY_LIMIT_KIB = 1 << 20


def good_model(weight: np.ndarray | None = None) -> onnx.ModelProto:
    """x [2, 4] @ w [4, 3] + b, then Relu."""
    w = np.arange(12, dtype=np.float32).reshape(4, 3) if weight is None else weight
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="product"),
        helper.make_node("Add", ["p", "b"], ["s"], name="sum"),
        helper.make_node("Relu", ["s"], ["y"], name="act"),
    ]
    initializers = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.ones(3, np.float32), "b")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph(nodes, "good", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


Damage = Callable[[onnx.ModelProto], None]


def with_node(op: str, inputs: list[str], **attributes: object) -> Damage:
    """Replace the last node."""

    def damage(model: onnx.ModelProto) -> None:
        model.graph.node[2].CopyFrom(helper.make_node(op, inputs, ["y"], name="act", **attributes))

    return damage


def with_constant(op: str, values: object, dtype: type = np.int64, **attributes: object) -> Damage:
    """Replace the last node by one with a constant second (for ConstantOfShape: only) input."""

    def damage(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype), "c"))
        inputs = ["c"] if op == "ConstantOfShape" else ["s", "c"]
        model.graph.node[2].CopyFrom(helper.make_node(op, inputs, ["y"], name="act", **attributes))

    return damage


def edit(statement: str) -> Damage:
    """A change of `g` (graph), `m` (model) or `w` (the weight) as a statement."""

    def damage(model: onnx.ModelProto) -> None:
        exec(statement, {"m": model, "g": model.graph, "w": model.graph.initializer[0], "np": np, "onnx": onnx})

    return damage


CASES: dict[str, tuple[str, Damage]] = {
    "no graph": ("E0501", edit("m.ClearField('graph')")),
    "no opset": ("E0501", edit("m.ClearField('opset_import')")),
    "no outputs": ("E0501", edit("g.ClearField('output')")),
    "opset of the future": ("E0511", edit("m.opset_import[0].version = 9999")),
    "opset zero": ("E0501", edit("m.opset_import[0].version = 0")),
    "opset beyond 32 bits": ("E0501", edit("m.opset_import[0].version = 1 << 60")),
    "undefined input": ("E0502", edit("g.node[0].input[1] = 'nowhere'")),
    "missing initializer": ("E0502", edit("del g.initializer[0]")),
    "undefined output": ("E0502", edit("g.output[0].name = 'z'")),
    "output listed twice": ("E0502", edit("g.output.append(g.output[0])")),
    "cycle": ("E0502", edit("g.node[0].input[0] = 'y'")),
    "self loop": ("E0502", edit("g.node[1].input[1] = 's'")),
    "two producers": ("E0502", edit("g.node[2].output[0] = 's'")),
    "node overwrites an input": ("E0502", edit("g.node[0].output[0] = 'x'")),
    "duplicate initializer": ("E0502", edit("g.initializer.append(g.initializer[0])")),
    "duplicate input": ("E0502", edit("g.input.append(g.input[0])")),
    "unnamed input": ("E0502", edit("g.input[0].name = ''")),
    "no op type": ("E0502", edit("g.node[0].op_type = ''")),
    "domain not imported": ("E0502", edit("g.node[0].domain = 'nobody'")),
    "wrong attribute type": ("E0502", with_node("Softmax", ["s"], axis=[1, 2])),
    "unknown attribute": ("E0502", with_node("Relu", ["s"], sharpness=3)),
    "too many inputs": ("E0502", with_node("Relu", ["s", "b"])),
    "too few inputs": ("E0502", with_node("Add", ["s"])),
    "input without a type": ("E0502", edit("g.input[0].ClearField('type')")),
    "input of an unknown type": ("E0502", edit("g.input[0].type.tensor_type.elem_type = 77")),
    "input of strings": ("E0510", edit("g.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING")),
    "input with an absurd size": ("E0505", edit("g.input[0].type.tensor_type.shape.dim[0].dim_value = 1 << 60")),
    "input whose sizes overflow": (
        "E0505",
        edit("[d.__setattr__('dim_value', 1 << 33) for d in g.input[0].type.tensor_type.shape.dim]"),
    ),
    "negative size without a symbol": ("E0506", edit("g.input[0].type.tensor_type.shape.dim[0].dim_value = -7")),
    "weight with too little data": ("E0503", edit("w.raw_data = w.raw_data[:-1]")),
    "weight with too much data": ("E0503", edit("w.raw_data = w.raw_data + b'1234'")),
    "weight of negative shape": ("E0503", edit("w.dims[0] = -4")),
    "weight of absurd shape": ("E0505", edit("w.dims[0] = 1 << 60")),
    "weight without data": ("E0503", edit("w.ClearField('raw_data')")),
    "weight of strings": ("E0503", edit("w.data_type = onnx.TensorProto.STRING")),
    "weight of an unknown type": ("E0503", edit("w.data_type = 99")),
    "weight of another type": ("E0503", edit("w.data_type = onnx.TensorProto.DOUBLE")),
    "weight of half the width": ("E0508", edit("w.data_type = onnx.TensorProto.INT32")),
    "data in the wrong field": (
        "E0503",
        edit("w.ClearField('raw_data'); w.int64_data.extend(range(12))"),
    ),
    "shapes that do not fit": ("E0508", edit("w.dims[:] = [3, 4]")),
    "reshape to another count": ("E0508", with_constant("Reshape", [5, 5])),
    "reshape with two -1": ("E0508", with_constant("Reshape", [-1, -1])),
    "reshape to float sizes": ("E0508", with_constant("Reshape", [np.nan, 6], np.float32)),
    "transpose with a bad permutation": ("E0508", with_node("Transpose", ["s"], perm=[0, 0])),
    "concat of other shapes": ("E0508", with_node("Concat", ["s", "x"], axis=0)),
    "axis out of range": ("E0508", with_node("Softmax", ["s"], axis=7)),
    "constant of absurd size": ("E0505", with_constant("ConstantOfShape", [1 << 40, 1 << 40])),
    "constant of negative size": ("E0503", with_constant("ConstantOfShape", [-3])),
    "expand to absurd size": ("E0510", with_constant("Expand", [1 << 40, 2, 3])),
    "tile to absurd size": ("E0510", with_constant("Tile", [1 << 40, 1])),
    "resize by NaN": ("E0508", with_constant("Upsample", [np.nan, 1], np.float32)),
    "gather out of range": ("E0508", with_constant("Gather", [17])),
    "split into no pieces": ("E0508", with_node("Split", ["s"], num_outputs=0)),
    "split into more pieces than outputs": ("E0508", with_node("Split", ["s"], num_outputs=3)),
    "unnamed output": ("E0502", edit("g.output.add()")),
    "matrix for a recurrence": ("E0508", with_node("GRU", ["s", "w", "w"], hidden_size=1)),
    "index of a sparse initializer": (
        "E0503",
        edit(
            "g.sparse_initializer.append(onnx.helper.make_sparse_tensor("
            "onnx.helper.make_tensor('sp', 1, [1], [1.0]), onnx.helper.make_tensor('i', 7, [1], [3]), [3]))"
        ),
    ),
    "sparse initializer of absurd size": (
        "E0505",
        edit(
            "g.sparse_initializer.append(onnx.helper.make_sparse_tensor("
            "onnx.helper.make_tensor('sp', 1, [1], [1.0]), onnx.helper.make_tensor('i', 7, [1], [0]), [1 << 32]))"
        ),
    ),
    "external data of a model in memory": (
        "E0504",
        edit("w.ClearField('raw_data'); w.data_location = 1; w.external_data.add(key='location', value='f')"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_damage_is_named(name):
    code, damage = CASES[name]
    model = good_model()
    if name == "resize by NaN":
        model.opset_import[0].version = 9
    if name.startswith("split"):
        model.opset_import[0].version = 18
    damage(model)
    with pytest.raises(NpuError) as caught:
        import_model(model.SerializeToString())
    error = caught.value
    assert error.entry.code == f"NPU-{code}", str(error)
    leaf = error.problems[0] if error.problems else error
    assert leaf.message
    assert leaf.found, str(error)
    assert leaf.remedy, str(error)


def test_the_undamaged_model_imports():
    assert import_model(good_model()).outputs == {"y": (2, 3)}


def test_unsorted_nodes_are_sorted():
    model = good_model()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert import_model(model).outputs == {"y": (2, 3)}


def test_all_problems_are_collected():
    model = good_model()
    model.graph.node[0].input[1] = "nowhere"
    model.graph.node[1].input[1] = "elsewhere"
    with pytest.raises(NpuError) as caught:
        import_model(model)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 not a model", b"{}", bytes(range(256)), b"\x08" * 40, "<html>no</html>".encode("utf-16")],
)
def test_files_of_other_kinds(tmp_path, content):
    file = tmp_path / "m.onnx"
    file.write_bytes(content)
    with pytest.raises(NpuError, match="E050") as caught:
        import_model(file)
    assert caught.value.entry.exit_code == ExitCode.BAD_INPUT


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(NpuError, match="E0501"):
            import_model(path)


def test_truncated_at_every_tenth():
    data = good_model().SerializeToString()
    for end in range(0, len(data), 10):
        with pytest.raises(NpuError):
            import_model(data[:end])


def test_flipped_bytes_never_crash():
    data, rng = good_model().SerializeToString(), random.Random(0)
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            damaged[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        try:
            import_model(bytes(damaged))
        except NpuError as error:
            assert str(error)


def external(tmp_path: Path, location: str, **entries: str) -> Path:
    """The good model with its weight in an external file `location`."""
    model = good_model()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    folder = tmp_path / "model"
    folder.mkdir()
    file = folder / "m.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def test_external_data_is_mapped(tmp_path):
    file = external(tmp_path, "w.bin", offset="8", length="48")
    weight = np.arange(12, dtype=np.float32)
    (file.parent / "w.bin").write_bytes(bytes(8) + weight.tobytes())
    imported = import_model(file)
    np.testing.assert_array_equal(np.asarray(imported.constants["w"]).reshape(-1), weight)
    base = imported.constants["w"]
    while not isinstance(base, np.memmap) and base is not None:
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "", "link.bin", "..\\secret.bin"]
)
def test_external_data_stays_in_the_folder(tmp_path, location):
    file = external(tmp_path, location)
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    os.symlink(tmp_path / "secret.bin", file.parent / "link.bin")
    with pytest.raises(NpuError, match="E0504"):
        import_model(file)


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": "1000"},
        {"length": "4"},
        {"length": "x"},
        {"offset": "9" * 30},
        {"length": "99999999999999"},
    ],
)
def test_external_data_ranges(tmp_path, entries):
    file = external(tmp_path, "w.bin", **entries)
    (file.parent / "w.bin").write_bytes(bytes(48))
    with pytest.raises(NpuError, match="E0504"):
        import_model(file)


def test_missing_external_file(tmp_path):
    with pytest.raises(NpuError, match="E0504"):
        import_model(external(tmp_path, "w.bin"))


def test_absurd_constants_take_no_memory():
    """A splat of 2^33 elements is a view; arithmetic on it stays in the graph."""
    model = good_model()
    with_constant("ConstantOfShape", [1 << 33])(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    imported = import_model(model)
    assert imported.outputs == {"y": (1 << 33,)}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_LIMIT_KIB
