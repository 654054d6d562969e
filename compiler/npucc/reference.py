"""The reference: what onnxruntime computes for the same model and inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort
from npuisa.errors import ExitCode, NpuError, error_code

from npucc.reference_values import from_reference, is_foreign, to_reference

NO_REFERENCE = error_code("NPU-E0030", ExitCode.BAD_INPUT, "onnxruntime cannot run the model")

ModelSource = str | Path | bytes | onnx.ModelProto


def session_for(source: ModelSource, *, profile: bool = False) -> ort.InferenceSession:
    """A CPU session with one thread. NPU-E0030 when onnxruntime refuses the model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling = profile
    options.log_severity_level = 4
    if isinstance(source, onnx.ModelProto):
        source = source.SerializeToString()
    given = source if isinstance(source, bytes) else str(source)
    try:
        return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its C extension without a common base
        raise _refused(str(source) if isinstance(source, str | Path) else "model", error) from None


def run_reference(source: ModelSource, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by name: arrays, lists for sequences, None for empty optionals; so are the inputs."""
    return run_session(session_for(source), inputs)


def run_session(session: ort.InferenceSession, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by name of an open session."""
    names = [output.name for output in session.get_outputs()]
    try:
        if any(isinstance(array, np.ndarray) and is_foreign(array) for array in inputs.values()) or _gives_foreign(
            session
        ):
            given = {name: to_reference(array) for name, array in inputs.items()}
            return dict(zip(names, map(from_reference, session.run_with_ort_values(names, given))))
        values = session.run(names, dict(inputs))
    except Exception as error:  # see session_for
        raise _refused("run", error) from None
    # Copies: the arrays that onnxruntime returns may lie in memory of the session, which the caller may drop.
    return {name: _copied(value) for name, value in zip(names, cast("list[Any]", values))}


def _gives_foreign(session: ort.InferenceSession) -> bool:
    """Whether an output has a type that NumPy lacks: bfloat16, float8..., int4 ..."""
    return any(re.match(r"tensor\((bfloat|float[468]e|u?int[24]\b)", output.type) for output in session.get_outputs())


def _copied(value: Any) -> Any:
    """A copy of an output: an array, a list of such (a sequence), a map, or None (an empty optional)."""
    if isinstance(value, list | tuple):
        return [_copied(entry) for entry in cast("list[Any]", value)]
    if isinstance(value, dict):
        return dict(cast("dict[Any, Any]", value))
    return None if value is None else np.array(value)


def _refused(where: str, error: Exception) -> NpuError:
    return NpuError(
        NO_REFERENCE, "onnxruntime, the reference, cannot run the model", where=where, found=str(error)[:500],
        remedy="`npucc run` simulates without a reference",
    )  # fmt: skip
