"""The model that ships with npucc, compiled and run on its test images."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from time import perf_counter

import numpy as np
import numpy.typing as npt
from npuisa.target import Target
from npusim.functional import FunctionalSimulator

from npucc.driver import compile, simulate
from npucc.options import Options
from npucc.reference import run_reference
from npucc.results import DemoResult
from npucc.run_results import run_result


def demo_model() -> bytes:
    """The digits classifier (`examples/train_digits.py`): input `image` [batch, 1, 8, 8], pixels 0..16."""
    return resources.files("npucc").joinpath("data", "digits.onnx").read_bytes()


def demo_images() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """(images [360, 1, 8, 8] with pixels 0..16, labels [360]): the test split."""
    with resources.files("npucc").joinpath("data", "digits_test.npz").open("rb") as file:
        data = np.load(file, allow_pickle=False)
        return data["images"][:, None].astype(np.float32), data["labels"]


def run_demo(target: Target, options: Options, batch: int, advance: Callable[[], None] = lambda: None) -> DemoResult:
    """Classify all test images, `batch` at a time, on the simulator and in onnxruntime."""
    images, labels = demo_images()
    begin = perf_counter()
    program = compile(demo_model(), target, options, shapes={"image": (batch, 1, 8, 8)})
    compile_seconds = perf_counter() - begin
    result = simulate(program, {"image": images[:batch]}, target=target)
    simulator = FunctionalSimulator(program, target)
    scores = [result.outputs["probabilities"]]
    advance()
    for first in range(batch, len(images), batch):
        chunk = _padded(images[first : first + batch], batch)
        scores.append(simulator.run({"image": chunk})["probabilities"])
        advance()
    npu = np.concatenate(scores)[: len(images)].argmax(1)
    reference = run_reference(demo_model(), {"image": images})["probabilities"].argmax(1)
    run = run_result(program, result, target, compile_seconds)
    return DemoResult(
        images=len(images),
        batch=batch,
        correct_npu=int((npu == labels).sum()),
        correct_onnxruntime=int((reference == labels).sum()),
        accuracy_npu=float((npu == labels).mean()),
        accuracy_onnxruntime=float((reference == labels).mean()),
        same_class=int((npu == reference).sum()),
        cycles_per_image=run.cycles / batch,
        images_per_second_at_clock=batch / run.seconds_at_clock,
        run=run,
    )


def _padded(images: npt.NDArray[np.float32], batch: int) -> npt.NDArray[np.float32]:
    """The last batch is filled up with zeros."""
    missing = batch - len(images)
    return np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
