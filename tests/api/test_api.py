"""The Python API as the README and the guide show it."""

from __future__ import annotations

import subprocess
import sys

import npucc
import numpy as np
import onnx
import pytest
from npucc.demo import demo_images, demo_model
from npucc.reference import run_reference
from npuisa.errors import NpuError


def test_compile_simulate_validate() -> None:
    images, _ = demo_images()
    target = npucc.Target.load("edge-4t")
    program = npucc.compile(demo_model(), target, npucc.Options(opt_level=2, dims={"batch": 3}))
    result = npucc.simulate(program, {"image": images[:3]})
    reference = run_reference(demo_model(), {"image": images[:3]})["probabilities"]
    np.testing.assert_allclose(result.outputs["probabilities"], reference, rtol=1e-3, atol=1e-5)
    assert result.report is not None and result.cycles == result.report.cycles
    assert npucc.validate(demo_model(), target, npucc.Options(dims={"batch": 3})).passed


@pytest.mark.parametrize("opt_level", range(4))
def test_optimisation_levels_agree_and_do_not_get_worse(opt_level: int) -> None:
    options = npucc.Options(opt_level=opt_level, dims={"batch": 1})
    result = npucc.validate(demo_model(), options=options)
    assert result.passed
    plain = npucc.validate(demo_model(), options=npucc.Options(opt_level=0, dims={"batch": 1}))
    assert result.cycles <= plain.cycles


def test_observe_sees_every_pass() -> None:
    from npucc.pipeline import pipeline

    seen: list[str] = []
    options = npucc.Options(dims={"batch": 1})
    npucc.compile(demo_model(), options=options, observe=lambda step, module: seen.append(step.name))
    assert seen == [step.name for step in pipeline(options)]


def test_onnx_backend_interface() -> None:
    from npucc import backend

    images, _ = demo_images()
    prepared = backend.prepare(onnx.load_model_from_string(demo_model()), device="NPU")
    for count in (2, 5):  # other shapes: compiled again
        (scores,) = prepared.run([images[:count]])
        reference = run_reference(demo_model(), {"image": images[:count]})["probabilities"]
        np.testing.assert_allclose(scores, reference, rtol=1e-3, atol=1e-5)
    assert not backend.supports_device("CUDA")
    with pytest.raises(NpuError, match="device"):
        backend.prepare(onnx.ModelProto(), device="CUDA")


def test_bad_options_say_what_is_allowed() -> None:
    with pytest.raises(NpuError, match="f32, f16, bf16"):
        npucc.Options(precision="f8")
    with pytest.raises(NpuError, match="0, 1, 2 or 3"):
        npucc.Options(opt_level=7)
    with pytest.raises(AttributeError):
        _ = npucc.nonsense  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_npucc_imports_nothing_heavy() -> None:
    code = "import sys, npucc; print([m for m in ('numpy', 'onnx', 'xdsl', 'onnxruntime') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
