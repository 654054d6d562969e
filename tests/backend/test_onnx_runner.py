"""npucc.backend under onnx's own test runner, as its users call it."""

from __future__ import annotations

import unittest

import npucc.backend
import pytest
from onnx.backend.test import BackendTest

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
"""onnx computes the expected values with overflows and divisions by zero."""


@pytest.fixture(scope="module")
def cases() -> type[unittest.TestCase]:
    return BackendTest(npucc.backend, __name__).test_cases


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


def test_devices_that_the_runner_asks_for():
    assert npucc.backend.supports_device("NPU") and npucc.backend.supports_device("CPU")
    assert not npucc.backend.supports_device("CUDA")
