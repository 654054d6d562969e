"""Compile ONNX models to NPU programs, run them on the simulator and compare them with onnxruntime.

import npucc
target = npucc.Target.load("edge-4t")
program = npucc.compile("model.onnx", target, npucc.Options(opt_level=2))
result = npucc.simulate(program, {"x": x})
npucc.validate("model.onnx", target)
npucc.execute("model.onnx", target, {"x": x})  # also models that are not a single program
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npuisa.target import Target

    from npucc.driver import compile, simulate
    from npucc.execution import execute
    from npucc.options import Options
    from npucc.validation import validate

__version__ = "0.1.0"
__all__ = ["Options", "Target", "compile", "execute", "simulate", "validate"]

_HOME = {
    "Target": "npuisa.target",
    "Options": "npucc.options",
    "compile": "npucc.driver",
    "execute": "npucc.execution",
    "simulate": "npucc.driver",
    "validate": "npucc.validation",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `npucc --help` must not pay for onnx and xDSL.
    if name not in _HOME:
        raise AttributeError(f"module 'npucc' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
