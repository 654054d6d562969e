"""ONNX's backend interface (`onnx.backend.base`): `prepare(model, device="NPU").run(inputs)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from npuisa.errors import USAGE, NpuError
from npuisa.target import Target
from onnx import NodeProto
from onnx.backend.base import Backend, BackendRep, namedtupledict

from npucc.execution import Execution, ExecutionResult
from npucc.frontend.complex_parts import joined_arrays, joined_names, split_arrays
from npucc.frontend.load import load_model
from npucc.frontend.node_support import unknown_ops
from npucc.frontend.type_inference import onnx_type
from npucc.options import Options
from npucc.results import NodeSupport
from npucc.values import Concrete, normalized

DEVICE = "NPU"
DEVICES = (DEVICE, "CPU")
"""The NPU is simulated on the CPU."""


class NpuRep(BackendRep):
    """A prepared model. Programs are compiled for the shapes of the inputs it is given, once for each set of shapes.

    Inputs that give shapes, axes or options are compiled in; other values of them are another program.
    """

    def __init__(self, model: onnx.ModelProto, target: Target, options: Options) -> None:
        self._execution = Execution(model, target, options)
        self._names = joined_names([entry.name for entry in self._execution.declared])
        self.history: list[ExecutionResult] = []
        """What each run did, without its outputs: see `placement`."""

    @property
    def nodes(self) -> list[NodeSupport]:
        """Of the last run: where each node ran, with the rule."""
        return self.history[-1].nodes if self.history else []

    @property
    def placement(self) -> dict[str, str]:
        """Of the last run: node -> "npu", "host" or "compile time"; nodes in bodies as `outer/inner`."""
        return self.history[-1].placement if self.history else {}

    @property
    def host_nodes(self) -> list[str]:
        """Nodes that the host ran in the last run."""
        return self.history[-1].host_nodes if self.history else []

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Concrete, ...]:
        """Outputs in the order of the model. `inputs`: a sequence in the model's order, or a dictionary by name.

        Tensors are arrays or NumPy scalars, sequences lists, empty optionals None. `cycles=True` counts cycles, too.
        """
        result = self._execution.run(self._by_name(inputs), cycles=bool(kwargs.get("cycles", False)))
        outputs = tuple(joined_arrays(result.outputs).values())
        result.outputs = {}
        self.history.append(result)
        return outputs

    def _by_name(self, inputs: Any) -> dict[str, Concrete]:
        if isinstance(inputs, Mapping):
            return split_arrays(inputs)
        values = list(inputs) if isinstance(inputs, Sequence) else [inputs]
        if len(values) != len(self._names):
            remedy = "in order: " + ", ".join(self._names)
            raise NpuError(USAGE, "wrong number of inputs", found=str(len(values)), remedy=remedy)
        return split_arrays(dict(zip(self._names, values)))


class NpuBackend(Backend):
    """`device` is "NPU", or "NPU:target"; "CPU" means the same, since it is what onnx's own test runner asks for."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` names the NPU, and a target that exists."""
        name, _, target = device.partition(":")
        if name not in DEVICES:
            return False
        try:
            Target.load(target or "edge-4t")
        except NpuError:
            return False
        return True

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = DEVICE, **kwargs: Any) -> bool:
        """Whether the model is a valid one whose ops, those in bodies too, run on the NPU or (by name) on the host.

        What depends on shapes and values is found when the model runs.
        """
        try:
            return cls.supports_device(device) and not unknown_ops(load_model(model))
        except NpuError:
            return False

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = DEVICE, **kwargs: Any) -> NpuRep:
        """Check the device; the first run, whose shapes are known, compiles. `options`: `npucc.Options`."""
        name, _, target = device.partition(":")
        if name not in DEVICES:
            raise NpuError(USAGE, "no such device", found=device, remedy='use "NPU" or "NPU:target"')
        return NpuRep(model, Target.load(target or "edge-4t"), kwargs.get("options") or Options())

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = DEVICE, **kwargs: Any) -> tuple[Any, ...]:
        """Prepare and run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = DEVICE, outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Run one node; `inputs` in the order of the node's inputs that are given, or by name. `opset_version`:
        of ONNX's own domain (default: the newest). The outputs come as a named tuple."""
        names = list(dict.fromkeys(name for name in node.input if name))
        by_name = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, inputs))
        model = _model_of_node(node, {name: normalized(by_name[name]) for name in names if name in by_name}, kwargs)
        results = cls.prepare(model, device).run(by_name)
        return namedtupledict("Outputs", [name for name in node.output if name])(*results)


def _model_of_node(node: NodeProto, values: Mapping[str, Concrete], options: Mapping[str, Any]) -> onnx.ModelProto:
    """A model of this node alone, with the types of the given values."""
    inputs = [onnx.helper.make_value_info(name, onnx_type(value)) for name, value in values.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = onnx.helper.make_graph([node], node.name or node.op_type, inputs, outputs)
    version = int(options.get("opset_version", onnx.defs.onnx_opset_version()))
    opsets = [onnx.helper.make_opsetid("", version)]
    if node.domain not in ("", "ai.onnx"):
        opsets.append(onnx.helper.make_opsetid(node.domain, int(options.get("domain_version", 1))))
    return onnx.helper.make_model(graph, opset_imports=opsets)


prepare = NpuBackend.prepare
run_model = NpuBackend.run_model
run_node = NpuBackend.run_node
supports_device = NpuBackend.supports_device
is_compatible = NpuBackend.is_compatible
