"""Typed results of the verbs: what `--json` writes and what the Python API returns.

Cycles are cycles of the target's clock, bytes are bytes, seconds are wall-clock seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Array = npt.NDArray[np.generic]


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TensorResult(_Result):
    """One output (or, per layer, one ONNX tensor). The error fields are absent when nothing was compared."""

    name: str
    shape: list[int]
    dtype: str
    max_abs_err: float | None = None
    max_rel_err: float | None = None
    sqnr_db: float | None = Field(default=None, description="10 log10(sum ref^2 / sum (x - ref)^2); absent when exact")
    mismatches: int | None = Field(default=None, description="elements outside the tolerance")
    same_best_class: bool | None = Field(default=None, description="for class scores: the reference's best class wins")
    passed: bool | None = None
    reference_mismatches: int | None = Field(
        default=None,
        description="elements that differ from onnxruntime only because onnxruntime itself is outside the tolerance of "
        "the last nodes computed in f64, while the NPU is inside; not counted in `mismatches`. For 16-bit types: "
        "elements in which onnxruntime is that inexact; the figures are then against f64",
    )
    quantized: str | None = Field(
        default=None,
        description="how an output of a quantized model passed that breaks the tolerance: `close` (at most one step on "
        "99.9% of the elements, or 1% of full scale), or `step by step` (so is every quantized tensor on the way, "
        "computed by onnxruntime from the NPU's own)",
    )


class EngineResult(_Result):
    """One engine. The `causes` (docs/reference/targets.md explains them) sum to the cycles of the run."""

    busy_cycles: int
    instructions: int
    causes: dict[str, int]


class DramBytes(_Result):
    """DRAM traffic; compulsory: each input and constant read once, each output written once."""

    read: int
    written: int
    compulsory: int


class LayerCycles(_Result):
    """A group of fused ONNX nodes."""

    group: int
    name: str
    nodes: list[str]
    first_cycle: int
    last_cycle: int
    cycles: int = Field(description="cycles that belong to this group alone; they sum to the end of the last group")
    critical_engine: str
    busy_cycles: dict[str, int] = Field(description="engine -> cycles of work for this group")


class CycleResult(_Result):
    """What the cycle model says about one run."""

    cycles: int
    bound_cycles: int = Field(
        description="of the ONNX model: greater of its MACs at peak rate and compulsory DRAM bytes at peak bandwidth"
    )
    bound_by: str = Field(description="matrix engine, vector engine (depthwise MACs) or dram")
    program_bound_cycles: int = Field(
        description="the same for the compiled program, with the work that the compiler added"
    )
    macs: int = Field(description="multiply-accumulates of the ONNX nodes with real data (no padding zeros)")
    program_macs: int = Field(description="multiply-accumulates of the program's matrix instructions, likewise")
    efficiency: float = Field(description="bound_cycles / cycles")
    seconds_at_clock: float
    engines: dict[str, EngineResult]
    critical_engine: str = Field(description="the engine that is busy longest")
    lost_cycles: dict[str, int] = Field(description="cycles in which the critical engine did not compute, by cause")
    dram_bytes: DramBytes
    sram_peak_bytes: int
    instructions: int
    layers: list[LayerCycles] = Field(default_factory=list[LayerCycles])
    notes: list[str] = Field(default_factory=list[str], description="what limits the meaning of the figures")


class OverflowResult(_Result):
    """Elements that left the range of f16 where a group of fused ONNX nodes stored its result."""

    node: str = Field(description="the nodes of the group")
    elements: int = Field(description="finite in f32, infinite in f16")


class SegmentResult(_Result):
    """A part of an execution: a program, or a node that the host ran."""

    where: str = Field(description="npu or host")
    nodes: list[str] = Field(description="ONNX nodes of the program, or the host's node")
    runs: int = Field(description="how often it was executed")
    cycles: int = Field(description="cycles of all runs; 0 on the host, whose time is not modelled")
    instructions: int = Field(description="executed instructions of all runs")


class RunResult(CycleResult):
    """`npucc run` and `npucc profile`."""

    model: str
    target: str
    precision: str
    outputs: list[TensorResult]
    host_nodes: list[str] = Field(default_factory=list[str])
    segments: list[SegmentResult] = Field(
        default_factory=list[SegmentResult], description="in the order of first execution; empty for a single program"
    )
    overflows: list[OverflowResult] = Field(
        default_factory=list[OverflowResult], description="where values were too large for f16, in program order"
    )
    compile_seconds: float
    simulate_seconds: float


class ValidateResult(RunResult):
    """`npucc validate`."""

    passed: bool
    tolerance: str
    samples: int = Field(default=1, description="how many inputs were compared; errors are those of the worst one")
    tensors: list[TensorResult] = Field(default_factory=list[TensorResult], description="with per_layer: every tensor")
    first_mismatch: str | None = Field(default=None, description="with per_layer: first ONNX tensor that differs")


class CompileResult(_Result):
    """`npucc compile`."""

    model: str
    target: str
    precision: str
    program: str | None
    instructions: int
    constant_bytes: int
    scratch_bytes: int
    sram_peak_bytes: int
    host_nodes: list[str]
    time_limit_reached: bool
    compile_seconds: float
    pass_seconds: dict[str, float]


class NodeSupport(_Result):
    """`npucc check`: where one node runs."""

    name: str
    op: str
    where: str = Field(description="npu, host, compile time or unsupported")
    rule: str = ""
    found: str = ""
    remedy: str = ""


class CheckResult(_Result):
    """`npucc check`."""

    model: str
    target: str
    supported: bool
    exit_code: int = Field(description="of the command: 3 unsupported by the compiler, 4 by the target")
    nodes: list[NodeSupport]


class BisectStep(_Result):
    """One executed level: the worst output after a pass."""

    level: str
    after: str
    passed: bool
    worst_output: str
    sqnr_db: float | None
    max_abs_err: float
    error: str = Field(default="", description="what the pass raised, if it did not come to an end")


class BisectResult(_Result):
    """`npucc debug bisect`."""

    model: str
    target: str
    guilty_pass: str | None
    guilty_level: str | None
    steps: list[BisectStep]


class DemoResult(_Result):
    """`npucc demo`."""

    images: int
    batch: int
    correct_npu: int
    correct_onnxruntime: int
    accuracy_npu: float
    accuracy_onnxruntime: float
    same_class: int
    cycles_per_image: float
    images_per_second_at_clock: float
    run: RunResult


def describe_array(name: str, array: Array) -> TensorResult:
    """An output that is not compared."""
    dtype = "string" if array.dtype.kind in "OU" else str(array.dtype)
    return TensorResult(name=name, shape=list(array.shape), dtype=dtype)


def describe_arrays(arrays: Mapping[str, Array]) -> list[TensorResult]:
    """Outputs that are not compared."""
    return [describe_array(name, array) for name, array in arrays.items()]
