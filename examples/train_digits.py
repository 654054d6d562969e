"""Train the classifier that ships with npucc, and write it as ONNX with its test images.

    pip install -e '.[train]' && python examples/train_digits.py

Data: scikit-learn's digits (1,797 images of 8 x 8 pixels, values 0..16; UCI Optical Recognition of Handwritten
Digits, test part). The split is fixed: 1,437 training and 360 test images, shuffled with seed 0, stratified by class.
Network: conv 3x3x16, relu, conv 3x3x32, relu, max-pool 2, dense 64, relu, dense 10, softmax. NumPy only: forward,
backward and Adam are written out below, so that no training framework is needed. Seeded; about ten seconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Array = npt.NDArray[np.float32]
Parameters = dict[str, Array]

DATA = Path(__file__).resolve().parent.parent / "compiler" / "npucc" / "data"
PIXEL_MAX = 16.0
EPOCHS = 40
BATCH = 32


def initial_parameters(rng: np.random.Generator) -> Parameters:
    """He initialisation; convolution weights are [co, ci, 3, 3], dense weights [in, out]."""

    def he(*shape: int, fan_in: int) -> Array:
        return (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)

    return {
        "conv1.weight": he(16, 1, 3, 3, fan_in=9),
        "conv1.bias": np.zeros(16, np.float32),
        "conv2.weight": he(32, 16, 3, 3, fan_in=144),
        "conv2.bias": np.zeros(32, np.float32),
        "fc1.weight": he(512, 64, fan_in=512),
        "fc1.bias": np.zeros(64, np.float32),
        "fc2.weight": he(64, 10, fan_in=64),
        "fc2.bias": np.zeros(10, np.float32),
    }


def im2col(x: Array) -> Array:
    """[n, c, h, w] -> [n, h, w, c * 9]: the 3x3 neighbourhood of each pixel, zero padded."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    n, c, h, w = x.shape
    return np.ascontiguousarray(windows.transpose(0, 2, 3, 1, 4, 5)).reshape(n, h, w, c * 9)


def col2im(columns: Array, channels: int) -> Array:
    """Adjoint of `im2col`."""
    n, h, w, _ = columns.shape
    patches = columns.reshape(n, h, w, channels, 3, 3)
    padded = np.zeros((n, channels, h + 2, w + 2), np.float32)
    for i in range(3):
        for j in range(3):
            padded[:, :, i : i + h, j : j + w] += patches[..., i, j].transpose(0, 3, 1, 2)
    return padded[:, :, 1:-1, 1:-1]


def conv(x: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """Convolution 3x3, stride 1, same padding; also returns the columns for the backward pass."""
    columns = im2col(x)
    y = columns @ weight.reshape(len(weight), -1).T + bias
    return y.transpose(0, 3, 1, 2), columns


def conv_backward(grad: Array, columns: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Gradients of the input's columns, the weight and the bias."""
    g = grad.transpose(0, 2, 3, 1)
    flat = g.reshape(-1, g.shape[-1])
    d_weight = (flat.T @ columns.reshape(-1, columns.shape[-1])).reshape(weight.shape)
    return g @ weight.reshape(len(weight), -1), d_weight, flat.sum(0)


def step(p: Parameters, x: Array, labels: npt.NDArray[np.int64]) -> Parameters:
    """Gradients of the mean cross-entropy of one batch."""
    n = len(x)
    z1, columns1 = conv(x, p["conv1.weight"], p["conv1.bias"])
    a1 = np.maximum(z1, 0)
    z2, columns2 = conv(a1, p["conv2.weight"], p["conv2.bias"])
    a2 = np.maximum(z2, 0)
    blocks = a2.reshape(n, 32, 4, 2, 4, 2)
    pooled = blocks.max(axis=(3, 5))
    flat = pooled.reshape(n, -1)
    z3 = flat @ p["fc1.weight"] + p["fc1.bias"]
    a3 = np.maximum(z3, 0)
    logits = a3 @ p["fc2.weight"] + p["fc2.bias"]

    delta = softmax(logits)
    delta[np.arange(n), labels] -= 1
    delta /= n
    d_a3 = (delta @ p["fc2.weight"].T) * (z3 > 0)
    d_pooled = (d_a3 @ p["fc1.weight"].T).reshape(n, 32, 4, 1, 4, 1)
    at_max = blocks == pooled[:, :, :, None, :, None]
    d_z2 = (d_pooled * at_max).reshape(a2.shape) * (z2 > 0)
    d_columns2, d_w2, d_b2 = conv_backward(d_z2, columns2, p["conv2.weight"])
    d_z1 = col2im(d_columns2, 16) * (z1 > 0)
    _, d_w1, d_b1 = conv_backward(d_z1, columns1, p["conv1.weight"])
    return {
        "conv1.weight": d_w1,
        "conv1.bias": d_b1,
        "conv2.weight": d_w2,
        "conv2.bias": d_b2,
        "fc1.weight": flat.T @ d_a3,
        "fc1.bias": d_a3.sum(0),
        "fc2.weight": a3.T @ delta,
        "fc2.bias": delta.sum(0),
    }


def softmax(logits: Array) -> Array:
    """Softmax over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def train(x: Array, labels: npt.NDArray[np.int64]) -> Parameters:
    """Adam with cosine decay; images are shifted by up to one pixel at random."""
    rng = np.random.default_rng(0)
    p = initial_parameters(rng)
    mean = {name: np.zeros_like(value) for name, value in p.items()}
    square = {name: np.zeros_like(value) for name, value in p.items()}
    steps = EPOCHS * (len(x) // BATCH)
    for t in range(1, steps + 1):
        chosen = rng.choice(len(x), BATCH, replace=False)
        shift = rng.integers(-1, 2, 2)
        batch = np.roll(x[chosen], tuple(shift), axis=(2, 3))
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * t / steps))
        for name, grad in step(p, batch, labels[chosen]).items():
            mean[name] = 0.9 * mean[name] + 0.1 * grad
            square[name] = 0.999 * square[name] + 0.001 * grad**2
            corrected = mean[name] / (1 - 0.9**t) / (np.sqrt(square[name] / (1 - 0.999**t)) + 1e-8)
            p[name] = (p[name] - rate * corrected).astype(np.float32)
    return p


def to_onnx(p: Parameters) -> onnx.ModelProto:
    """The trained network; it takes raw pixels (0..16) because 1 / 16 is folded into the first weights."""
    weights = {**p, "conv1.weight": p["conv1.weight"] / np.float32(PIXEL_MAX)}
    # ONNX flattens channels first, which is the order that training used.
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1", pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], "conv2", pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p2"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p2"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["g1"], "fc1"),
        helper.make_node("Relu", ["g1"], ["r3"], "relu3"),
        helper.make_node("Gemm", ["r3", "fc2.weight", "fc2.bias"], ["logits"], "fc2"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "npucc examples/train_digits.py"
    model.doc_string = "Handwritten digits 8x8, scikit-learn's load_digits, split 1437 / 360 with seed 0"
    onnx.checker.check_model(model, full_check=True)
    return model


def accuracy(model: onnx.ModelProto, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> float:
    """Fraction of right answers, computed by onnxruntime."""
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": images[:, None].astype(np.float32)})
    return float((np.asarray(output).argmax(1) == labels).mean())


def main() -> None:
    """Train, export, check and write `digits.onnx` and `digits_test.npz`."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=360, random_state=0, stratify=labels)
    parameters = train((x_train[:, None] / PIXEL_MAX).astype(np.float32), y_train)
    model = to_onnx(parameters)
    DATA.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(DATA / "digits.onnx"))
    np.savez_compressed(DATA / "digits_test.npz", images=x_test, labels=y_test.astype(np.uint8))
    size = (DATA / "digits.onnx").stat().st_size
    print(f"train accuracy {accuracy(model, x_train, y_train.astype(np.uint8)):.4f}")
    print(f"test accuracy  {accuracy(model, x_test, y_test.astype(np.uint8)):.4f}  ({len(x_test)} images)")
    print(f"digits.onnx    {size} bytes")


if __name__ == "__main__":
    main()
