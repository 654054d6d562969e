"""Error codes of the ONNX import (E05xx), and how an importer function says what it cannot do."""

from __future__ import annotations

from dataclasses import dataclass

from npuisa.errors import ErrorCode, ExitCode, NpuError, error_code

UNREADABLE = error_code("NPU-E0501", ExitCode.BAD_INPUT, "The file is not a readable ONNX model")
INVALID_GRAPH = error_code("NPU-E0502", ExitCode.BAD_INPUT, "The model breaks a rule of ONNX")
BAD_TENSOR = error_code("NPU-E0503", ExitCode.BAD_INPUT, "A stored tensor of the model is damaged")
EXTERNAL_DATA = error_code("NPU-E0504", ExitCode.BAD_INPUT, "External tensor data is missing or refused")
TOO_LARGE = error_code("NPU-E0505", ExitCode.BAD_INPUT, "A size in the model is beyond all limits")
UNBOUND_DIMS = error_code("NPU-E0506", ExitCode.USAGE, "Symbolic dimensions of the model have no size")
DIMS_CONFLICT = error_code("NPU-E0507", ExitCode.USAGE, "The sizes given contradict the model or each other")
BAD_NODE = error_code("NPU-E0508", ExitCode.BAD_INPUT, "A node does not fit its inputs")
UNSUPPORTED_NODES = error_code("NPU-E0510", ExitCode.UNSUPPORTED, "The model uses what the compiler does not support")
NEEDS_SEGMENTS = error_code("NPU-E0512", ExitCode.UNSUPPORTED, "The model is not a single program")
UNSUPPORTED_VERSION = error_code("NPU-E0511", ExitCode.UNSUPPORTED, "The model's ONNX version is not supported")


@dataclass
class Unsupported(Exception):
    """Raised by an importer function: the node is valid ONNX, but not something the compiler can do.

    `rule` says what holds for supported nodes, `found` the value that breaks it, `remedy` what the user can change.
    """

    rule: str
    found: str
    remedy: str = ""


@dataclass
class NeedsValue(Unsupported):
    """Raised where the value (not only the shape) of the node's input `index` must be known at import.

    `value` is that input. If it is computed by the device, the node is compiled once it has been.
    """

    index: int = 0
    value: object = None


@dataclass
class NeedsHost(Unsupported):
    """Raised where only the host can run the node, for example because it draws random numbers."""


@dataclass
class Malformed(Exception):
    """Raised by an importer function: the node contradicts the ONNX specification or its inputs."""

    rule: str
    found: str
    remedy: str = "export the model again; the file breaks the ONNX specification here"


def one_error(entry: ErrorCode, message: str, where: str, problems: list[NpuError]) -> NpuError:
    """The only problem itself, or one error that holds all of them."""
    if len(problems) == 1:
        return problems[0]
    return NpuError(
        entry,
        message,
        where=where,
        found=f"{len(problems)} problems",
        remedy="see each problem below",
        problems=problems,
    )
