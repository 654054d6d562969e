"""A sample of the campaign of random models; that it draws what it should; that it finds what it should find."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from npuisa.errors import USAGE, NpuError

sys.path.insert(0, str(Path(__file__).parent))  # makes the modules of the campaign importable

import random_models
from model_graph import tensor_info
from model_strategies import FAMILIES, Drawn, random_model
from random_models import GOOD, Tally, campaign, judge, shown

CONTROL = ("branch", "loop", "scan", "recurrent")


@pytest.mark.parametrize(("count", "families"), [(16, tuple(FAMILIES)), (6, CONTROL)], ids=["all", "control"])
def test_a_sample_has_no_wrong_value_and_no_traceback(count: int, families: tuple[str, ...]) -> None:
    tally = Tally()
    campaign(count, 0, families, tally.add)
    bad = [shown(*finding) for (kind, _), finding in tally.findings.items() if kind not in GOOD]
    assert not bad, "\n".join(bad)
    assert tally.verdicts["right"] >= count // 2


def test_models_are_of_many_kinds() -> None:
    drawn = [random_model(seed) for seed in range(120)]
    assert len({op for one in drawn for op in one.ops}) > 70
    assert len({one.model.opset_import[0].version for one in drawn}) > 8
    values = [value for one in drawn for value in one.inputs.values()]
    assert {value.dtype.name for value in values} >= {
        "float32",
        "float16",
        "float64",
        "bfloat16",
        "bool",
        "int8",
        "uint64",
    }
    assert any(0 in value.shape for value in values) and any(value.ndim == 0 for value in values)
    assert max(len(one.ops) for one in drawn) >= 5
    for one in drawn:
        onnx.checker.check_model(one.model, full_check=True)


def product() -> Drawn:
    """y = tanh(a @ b) + a @ b"""
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3) / 4, np.ones((3, 2), np.float32)
    nodes = [
        onnx.helper.make_node("MatMul", ["a", "b"], ["p"], "product"),
        onnx.helper.make_node("Tanh", ["p"], ["t"], "tangent"),
        onnx.helper.make_node("Add", ["p", "t"], ["y"], "sum"),
    ]
    ends = [tensor_info("a", a), tensor_info("b", b)], [tensor_info("y", np.zeros((2, 2), np.float32))]
    graph = onnx.helper.make_graph(nodes, "g", *ends)
    return Drawn(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=10), {"a": a, "b": b}
    )


class Faulty:
    """The backend with a fault: the output `where` is changed by `fault`."""

    def __init__(self, model: onnx.ModelProto, fault: Any, where: str) -> None:
        self._names = [info.name for info in model.graph.output]
        self._rep, self._fault, self._where = real_prepare(model), fault, where

    def run(self, inputs: Any) -> list[Any]:
        found = self._rep.run(inputs)
        return [self._fault(v) if n == self._where else v for n, v in zip(self._names, found)]


real_prepare = random_models.prepare


@pytest.mark.parametrize(
    ("fault", "where", "kind", "key"),
    [
        (lambda v: v, "y", "right", ""),
        (lambda v: v * np.float32(1.0001), "y", "right", ""),
        (lambda v: v * np.float32(1.01), "t", "wrong", "Tanh"),
        (lambda v: v[:1], "y", "wrong", "Add"),
        (lambda v: v.astype(np.float64), "y", "wrong", "Add"),
        (lambda v: np.where(np.arange(2) == 1, np.nan, v).astype(np.float32), "y", "wrong", "Add"),
    ],
)
def test_faults_are_found_and_blamed(
    monkeypatch: pytest.MonkeyPatch, fault: Any, where: str, kind: str, key: str
) -> None:
    def prepared(model: onnx.ModelProto) -> Faulty:
        alone = len(model.graph.output) == 1  # where t is no output, its fault shows in the sum
        return Faulty(model, fault, "y" if alone else where)

    monkeypatch.setattr(random_models, "prepare", prepared)
    verdict = judge(product())
    assert (verdict.kind, verdict.key) == (kind, key), verdict.detail


def test_refusals_and_tracebacks_are_counted_by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: object) -> None:
        raise NpuError(USAGE, "shape 17 is too large")

    monkeypatch.setattr(random_models, "prepare", refuse)
    assert judge(product()).key == "NPU-E0001 shape N is too large"
    monkeypatch.setattr(random_models, "prepare", lambda model: model.no_such_attribute)
    verdict = judge(product())
    assert verdict.kind == "traceback" and "AttributeError" in verdict.key
