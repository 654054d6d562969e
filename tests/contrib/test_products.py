"""Fused products and convolutions, and block-wise quantized weights, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(4)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("op", ["FusedMatMul", "TransposeMatMul"])
@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("right", [0, 1])
def test_fused_matmul(op, left, right, matches_onnxruntime):
    a = normal(2, 6, 4) if left else normal(2, 4, 6)
    b = normal(5, 6) if right else normal(6, 5)
    matches_onnxruntime(op, [a, b], transA=left, transB=right, alpha=0.25)


@pytest.mark.parametrize("trans", [0, 1])
def test_fused_matmul_with_batches_behind_rows(trans, matches_onnxruntime):
    a = normal(4, 2, 3, 6)  # [rows, batch, batch, depth]
    b = normal(6, 2, 3, 5) if not trans else normal(5, 2, 3, 6)
    matches_onnxruntime("FusedMatMul", [a, b], transBatchA=1, transBatchB=1, transB=trans)
    a = normal(6, 2, 3, 4)
    matches_onnxruntime("FusedMatMul", [a, b], transBatchA=1, transBatchB=1, transA=1, transB=trans)


@pytest.mark.parametrize(
    ("activation", "extra"),
    [
        ("Relu", {}),
        ("Tanh", {}),
        ("LeakyRelu", {"activation_alpha": 0.2}),
        ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4}),
    ],
)
def test_fused_gemm(activation, extra, matches_onnxruntime):
    inputs = [normal(6, 4), normal(5, 6), normal(5)]
    options = {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}
    matches_onnxruntime("FusedGemm", inputs, activation=activation, **options, **extra)


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [("Relu", []), ("LeakyRelu", [0.1]), ("Clip", [-0.5, 0.75]), ("HardSigmoid", [0.2, 0.4]), ("Sigmoid", [])],
)
@pytest.mark.parametrize("residual", [False, True])
def test_fused_conv(activation, parameters, residual, matches_onnxruntime):
    inputs = [normal(1, 4, 7, 6), normal(6, 2, 3, 3), normal(6)]
    if residual:
        inputs.append(normal(1, 6, 4, 3))
    options = {"activation_params": parameters} if parameters else {}
    matches_onnxruntime(
        "FusedConv", inputs, activation=activation, group=2, strides=[2, 2], pads=[1, 1, 1, 1], **options
    )


@settings(max_examples=12, deadline=None)
@given(
    bits=st.sampled_from([4, 8]),
    block=st.sampled_from([16, 32, 64]),
    inner=st.integers(1, 100),
    outer=st.integers(1, 9),
    zeros=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_matmul_n_bits(bits, block, inner, outer, zeros, bias, seed, matches_onnxruntime):
    rng = np.random.default_rng(seed)
    blocks = -(-inner // block)
    packed = rng.integers(0, 256, (outer, blocks, block * bits // 8), np.uint8)
    scales = rng.uniform(0.01, 0.1, outer * blocks).astype(np.float32)
    points = rng.integers(0, 256, outer * -(-blocks * bits // 8), np.uint8) if zeros else None
    inputs = [rng.standard_normal((3, inner)).astype(np.float32), packed, scales, points]
    inputs += [None, rng.standard_normal(outer).astype(np.float32)] if bias else []
    known = [index for index in range(1, len(inputs)) if inputs[index] is not None]
    matches_onnxruntime(
        "MatMulNBits", inputs, constants=known, K=inner, N=outer, bits=bits, block_size=block, atol=1e-3
    )


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_cdist(metric, matches_onnxruntime):
    matches_onnxruntime("CDist", [normal(5, 3), normal(4, 3)], metric=metric, atol=1e-4)
