"""Published models import, and the graph level computes what onnxruntime computes.

Models that come with onnx get seeded random weights; the others are downloaded once into the cache, and skipped where
the registry cannot be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from npucc.dialects.graph import nodes_of
from npucc.frontend import import_model
from npucc.frontend.builder import TENSOR
from npucc.frontend.models import fetch_model, published_model, published_models
from npucc.frontend.weights import seeded_weights
from npucc.interpreters.graph import run_graph
from npuisa.errors import NpuError
from xdsl.ir import Operation

DOWNLOADED = {
    "face-detection-yunet-2023mar": 255.0,
    "mobilenetv2-7": 1.0,
    "ch-ppocr-mobile-v2.0-cls-infer": 1.0,
    "ch-pp-ocrv4-det-infer": 1.0,
    "ch-pp-ocrv4-rec-infer": 1.0,
    "standard-v3-3-model": 255.0,
}
"""Name -> greatest input value (images of 0..255, bytes, or normalized images)."""
QUICK = ("light-squeezenet", "light-shufflenet", "light-inception-v2")
SLOW = ("light-densenet121", "light-resnet50", "light-inception-v1", "light-zfnet512")


def draw_inputs(session: onnxruntime.InferenceSession, shapes: dict[str, Any], largest: float) -> dict[str, Any]:
    """Seeded inputs in [0, largest], or [-largest, largest] for normalized images."""
    rng = np.random.default_rng(1)
    low = 0.0 if largest > 1 else -largest
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
    return {
        entry.name: rng.uniform(low, largest, shapes[entry.name]).astype(types[entry.type])
        for entry in session.get_inputs()
    }


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def check(model: onnx.ModelProto, run_inputs: dict[str, Any], largest: float = 1.0) -> None:
    imported = import_model(model, input_shapes=run_inputs)
    imported.module.verify()
    session = session_of(model)
    feed = draw_inputs(session, imported.inputs, largest)
    expected = session.run(None, feed)
    actual = run_graph(imported.module, feed, imported.constants)
    for name, got, want in zip(imported.outputs, actual, expected):
        assert got.shape == want.shape, name
        # onnxruntime's sigmoid is good to 1e-7 of 1, not of its (tiny) results.
        atol = 1e-4 * np.abs(want).max() + 1e-6
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=atol, err_msg=name)


def seeded(name: str) -> onnx.ModelProto:
    return seeded_weights(onnx.load(fetch_model(name)), seed=0)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_light_model_with_seeded_weights(name):
    check(seeded(name), published_model(name).run_inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", DOWNLOADED)
def test_downloaded_model(name):
    try:
        path = fetch_model(name)
    except NpuError as error:
        pytest.skip(str(error))
    check(onnx.load(path), published_model(name).run_inputs, DOWNLOADED[name])


def test_light_models_import_without_weights_of_their_own():
    """Constant fillers stay views of one element: even VGG-19 (574 MB of weights) takes next to nothing."""
    imported = import_model(fetch_model("light-vgg19"))
    sizes = [imported.constants[name] for name in imported.constants]
    assert sum(array.nbytes for array in sizes) > 500_000_000
    owned = sum(array.nbytes for array in sizes if array.strides and any(array.strides))
    assert owned < 1_000_000


def test_seeded_weights_are_reproducible_and_sane():
    first, second = seeded("light-squeezenet"), seeded("light-squeezenet")
    assert first.SerializeToString() == second.SerializeToString()
    assert not any(node.op_type == "ConstantOfShape" for node in first.graph.node)
    imported = import_model(first)
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    deviations: list[float] = []

    def observe(op: Operation, results: Sequence[Any]) -> None:
        if TENSOR in op.attributes:
            deviations.append(float(results[0].std()))

    probabilities = run_graph(imported.module, {"data_0": x}, imported.constants, observe=observe)[0]
    assert max(deviations) < 20
    assert 0.002 < probabilities.max() < 0.9


def test_every_op_has_provenance_and_layers_have_tensor_names():
    model = seeded("light-shufflenet")
    ops = list(import_model(model).module.walk())
    graph_ops = [op for op in ops if op.name.startswith("graph.") and op.name != "graph.constant"]
    assert all(nodes_of(op) for op in graph_ops)
    named = {op.attributes[TENSOR].data for op in graph_ops if TENSOR in op.attributes}  # type: ignore[attr-defined]
    produced = {name for node in model.graph.node for name in node.output}
    assert named <= produced
    assert len(named) > 0.95 * len(produced)


def test_table_of_models():
    models = published_models()
    assert len(models) >= 26
    assert sum(model.is_light for model in models.values()) == 9
    for model in models.values():
        assert len(model.sha256) == 64
        assert model.registry in ("pypi", "npm")
        assert model.license and model.run_inputs
