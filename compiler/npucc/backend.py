"""ONNX's backend interface (`onnx.backend.base`): `prepare(model, device="NPU").run(inputs)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from npuisa.errors import USAGE, NpuError
from npuisa.program import Program
from npuisa.target import Target
from onnx.backend.base import Backend, BackendRep

from npucc.driver import compile, simulate
from npucc.frontend import needed_values
from npucc.options import Options
from npucc.results import Array

DEVICE = "NPU"

Shapes = tuple[tuple[int, ...], ...]


class NpuRep(BackendRep):
    """A prepared model. It is compiled for the shapes of the inputs it is given, once for each set of shapes.

    Inputs that give shapes, axes or options are compiled in; other values of them are another program.
    """

    def __init__(self, model: onnx.ModelProto, target: Target, options: Options) -> None:
        self._model, self._target, self._options = model, target, options
        initialized = {tensor.name for tensor in model.graph.initializer}
        self._names = [value.name for value in model.graph.input if value.name not in initialized]
        self._fixed: dict[Shapes, list[str]] = {}
        self._programs: dict[tuple[Shapes, tuple[bytes, ...]], Program] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Outputs in the order of the model. `inputs`: a sequence in the model's order, or a dictionary by name."""
        arrays = self._by_name(inputs)
        shapes = tuple(arrays[name].shape for name in self._names)
        if shapes not in self._fixed:
            self._fixed[shapes] = list(needed_values(self._model, arrays))
        fixed = {name: arrays.pop(name) for name in self._fixed[shapes]}
        key = (shapes, tuple(array.tobytes() for array in fixed.values()))
        if key not in self._programs:
            free = {name: array.shape for name, array in arrays.items()}
            self._programs[key] = compile(self._model, self._target, self._options, shapes=free, values=fixed)
        outputs = simulate(self._programs[key], arrays, target=self._target, cycles=False).outputs
        return tuple(outputs[value.name] for value in self._model.graph.output)

    def _by_name(self, inputs: Any) -> dict[str, Array]:
        if isinstance(inputs, Mapping):
            return {name: np.asarray(value) for name, value in inputs.items()}
        values = list(inputs) if isinstance(inputs, Sequence) else [inputs]
        if len(values) != len(self._names):
            remedy = "in order: " + ", ".join(self._names)
            raise NpuError(USAGE, "wrong number of inputs", found=str(len(values)), remedy=remedy)
        return {name: np.asarray(value) for name, value in zip(self._names, values)}


class NpuBackend(Backend):
    """`device` is "NPU", or "NPU:target"."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` names the NPU."""
        return device.split(":", 1)[0] == DEVICE

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = DEVICE, **kwargs: Any) -> NpuRep:
        """Check the device; the first run, whose shapes are known, compiles. `options`: `npucc.Options`."""
        if not cls.supports_device(device):
            raise NpuError(USAGE, "no such device", found=device, remedy='use "NPU" or "NPU:target"')
        target = Target.load(device.partition(":")[2] or "edge-4t")
        return NpuRep(model, target, kwargs.get("options") or Options())

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = DEVICE, **kwargs: Any) -> tuple[Array, ...]:
        """Prepare and run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)


prepare = NpuBackend.prepare
run_model = NpuBackend.run_model
supports_device = NpuBackend.supports_device
