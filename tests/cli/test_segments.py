"""The verbs on a model that is not a single program: host nodes in its middle, strings beside them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest

SPLIT = """
<ir_version: 8, opset_import: ["" : 21]>
split (float[6, 3] x, string[2] names) => (float[6, 3] y, seq(float[n, 3]) parts, string[2] twice) {
  e = Exp(x)
  parts = SplitToSequence<axis = 0>(e, two)
  y0 = ConcatFromSequence<axis = 0>(parts)
  y = Tanh(y0)
  twice = StringConcat(names, names)
}
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def npucc(npucc: Run) -> Run:
    """The command in a folder that holds the model and its inputs."""
    proto = onnx.parser.parse_model(SPLIT)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(4), "two"))
    onnx.save(proto, "split.onnx")
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    np.savez("in.npz", x=x, names=np.array(["a", "bc"]))
    return npucc


def test_run_names_segments_and_host_nodes(npucc: Run) -> None:
    code, out, err = npucc("run", "split.onnx", "--inputs", "in.npz", "--save-outputs", "out.npz", "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert result["host_nodes"] == ["SplitToSequence_1", "ConcatFromSequence_2", "StringConcat_4"]
    programs = [segment for segment in result["segments"] if segment["where"] == "npu"]
    assert [segment["nodes"] for segment in programs] == [["Exp_0"], ["Tanh_3"]]
    assert result["cycles"] == sum(segment["cycles"] for segment in programs)
    for engine in result["engines"].values():
        assert sum(engine["causes"].values()) == result["cycles"]
    with np.load("out.npz") as stored:
        assert sorted(stored) == ["parts.0", "parts.1", "twice", "y"]
        assert stored["twice"].tolist() == ["aa", "bcbc"]


def test_validate_compares_sequences_and_strings(npucc: Run) -> None:
    code, out, err = npucc("validate", "split.onnx", "--inputs", "in.npz", "--json", "-", "--check-hazards")
    assert code == 0, err
    result = json.loads(out)
    assert result["passed"] and [output["name"] for output in result["outputs"]] == ["y", "parts.0", "parts.1", "twice"]


def test_nodes_are_tapped_by_the_names_that_check_shows(npucc: Run) -> None:
    code, out, err = npucc("run", "split.onnx", "--inputs", "in.npz", "--tap", "Exp_0")
    assert code == 0, err
    assert "e: float32[6, 3]" in out


def test_profile_sums_over_the_programs(npucc: Run) -> None:
    code, out, err = npucc("profile", "split.onnx", "--inputs", "in.npz")
    assert code == 0, err
    assert "in segments: 2 programs, 2 runs" in out and "Tanh_3" in out


def test_check_says_where_and_why(npucc: Run) -> None:
    code, out, err = npucc("check", "split.onnx")
    assert code == 0, err
    assert "2 on the NPU, 3 on the host, 0 unsupported" in out
    assert "SplitToSequence_1 (SplitToSequence): a sequence is" in out


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        (["compile", "split.onnx"], 3, "NPU-E0512"),
        (["run", "split.onnx", "--inputs", "in.npz", "--timing-only"], 2, "--timing-only needs a single program"),
        (["run", "split.onnx", "--inputs", "in.npz", "--trace", "t.pftrace"], 2, "--trace needs a single program"),
        (["run", "split.onnx"], 3, "random values can be drawn for tensors of numbers only"),
    ],
)
def test_refusals(npucc: Run, arguments: list[str], code: int, text: str) -> None:
    found, _, err = npucc(*arguments)
    assert found == code and text in err
