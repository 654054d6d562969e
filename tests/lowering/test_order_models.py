"""Models of ops about order and selection from ONNX to the simulator, on machines large and small: values, hazards."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from npucc.execution import Execution
from npucc.options import Options
from npucc.validation import require_hazard_free
from npuisa.target import Target
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(0)
HEAD = '<ir_version: 8, opset_import: ["" : 17]> g '


def ties(*shape: int) -> np.ndarray:
    return RNG.integers(0, 9, shape).astype(np.float32)


MODELS = {
    "TopK": (
        "(float[4,600] x) => (float[4,20] v, int64[4,20] i) { k = Constant<value_ints=[20]>() v, i = TopK(x, k) }",
        {"x": ties(4, 600)},
    ),
    "sort": (
        "(float[2,2500] x) => (float[2,2500] v, int64[2,2500] i) "
        "{ k = Constant<value_ints=[2500]>() v, i = TopK<largest=0>(x, k) }",
        {"x": ties(2, 2500)},
    ),
    "TopK over channels": (
        "(float[2,9,40] x) => (float[2,3,40] v, int64[2,3,40] i) "
        "{ k = Constant<value_ints=[3]>() v, i = TopK<axis=1,largest=0>(x, k) }",
        {"x": ties(2, 9, 40)},
    ),
    "long CumSum": (
        "(float[2,9000] x) => (float[2,9000] y) { a = Constant<value_int=1>() y = CumSum<reverse=1>(x, a) }",
        {"x": ties(2, 9000)},
    ),
    "NonZero": ("(float[40,30] x) => (int64[2,n] y) { y = NonZero(x) }", {"x": ties(40, 30)}),
    "Compress": (
        "(float[6,5] x, bool[4] c) => (float[n,5] y) { y = Compress<axis=0>(x, c) }",
        {"x": ties(6, 5), "c": np.array([True, False, True, True])},
    ),
    "Unique": (
        "(float[300] x) => (float[n] y, int64[n] i, int64[300] r, int64[n] c) { y, i, r, c = Unique<sorted=0>(x) }",
        {"x": ties(300)},
    ),
    "Unique rows": (
        "(float[40,6] x) => (float[n,6] y, int64[n] i, int64[40] r, int64[n] c) { y, i, r, c = Unique<axis=0>(x) }",
        {"x": ties(40, 6) // 5},
    ),
    "NonMaxSuppression": (
        "(float[1,1100,4] b, float[1,2,1100] s) => (int64[k,3] y) { m = Constant<value_ints=[5]>() "
        "i = Constant<value_floats=[0.5]>() t = Constant<value_floats=[0.9]>() y = NonMaxSuppression(b, s, m, i, t) }",
        {"b": RNG.random((1, 1100, 4), np.float32), "s": RNG.random((1, 2, 1100), np.float32)},
    ),
    "ReverseSequence": (
        "(float[5,3,2] x, int64[3] n) => (float[5,3,2] y) { y = ReverseSequence(x, n) }",
        {"x": ties(5, 3, 2), "n": np.array([5, 1, 3])},
    ),
    "Det": ("(float[2,9,9] x) => (float[2] y) { y = Det(x) }", {"x": RNG.standard_normal((2, 9, 9), np.float32)}),
    "Einsum": (
        '(float[3,4,4] x, float[3,5] w) => (float[4,5] y) { y = Einsum<equation="bii,bk->ik">(x, w) }',
        {"x": ties(3, 4, 4), "w": ties(3, 5)},
    ),
}


def machine(sram: int) -> Target:
    base = Target.load("edge-4t")
    return base.model_copy(update={"sram": base.sram.model_copy(update={"bytes": sram})})


@pytest.mark.parametrize("sram", [1 << 20, 32_768])
@pytest.mark.parametrize("name", MODELS)
def test_model(name: str, sram: int) -> None:
    text, inputs = MODELS[name]
    model, target = onnx.parser.parse_model(HEAD + text), machine(sram)
    result = Execution(model, target, Options()).run(inputs, cycles=True)
    require_hazard_free(result, target)
    assert not result.host_nodes and result.cycles
    expected = ReferenceEvaluator(model).run(None, inputs)
    for got, want in zip(result.outputs.values(), expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
