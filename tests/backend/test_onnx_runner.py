"""npucc.backend under onnx's own test runner, as its users call it."""

from __future__ import annotations

import unittest

import npucc.backend
import pytest
from npucc.backend import NpuBackend
from onnx.backend.test import BackendTest

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
"""onnx computes the expected values with overflows and divisions by zero."""


class OnTheNpu(NpuBackend):
    """The runner only knows the devices CPU and CUDA; the first stands for the NPU here."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device in ("CPU", "NPU")

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        return super().prepare(model, "NPU", **kwargs)


@pytest.fixture(scope="module")
def cases() -> type[unittest.TestCase]:
    return BackendTest(OnTheNpu, __name__).test_cases


@pytest.mark.parametrize(
    "group, name",
    [
        ("OnnxBackendNodeModelTest", "test_add_cpu"),
        ("OnnxBackendNodeModelTest", "test_softmax_example_cpu"),
        ("OnnxBackendPyTorchConvertedModelTest", "test_Conv2d_cpu"),
    ],
)
def test_onnx_own_runner_runs_the_backend(cases, group, name):
    result = unittest.TestResult()
    cases[group](name).run(result)
    assert (result.testsRun, result.skipped, result.failures, result.errors) == (1, [], [], [])


def test_the_module_is_a_backend():
    """`BackendTest(npucc.backend)` needs these; no device of the runner is the NPU's, so it skips every case."""
    assert npucc.backend.supports_device("NPU")
    assert not npucc.backend.supports_device("CUDA")
    group = BackendTest(npucc.backend, __name__).include("^test_add_cpu$").test_cases["OnnxBackendNodeModelTest"]
    result = unittest.TestResult()
    group("test_add_cpu").run(result)
    assert len(result.skipped) == 1
