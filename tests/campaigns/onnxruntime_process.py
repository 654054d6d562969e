"""onnxruntime in a process of its own: some valid models end the process that it runs in.

(Unique along an axis of a tensor without elements, for one: "terminate called without an active exception".)
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any


class OnnxRuntimeProcess:
    """Runs models in a child that is started again when one of them ends it; `ended` counts these."""

    def __init__(self) -> None:
        self.ended = 0
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, model: bytes, inputs: Mapping[str, Any]) -> list[Any]:
        """Outputs in order; RuntimeError with onnxruntime's message, or when it ended."""
        if self._child is None:
            command = [sys.executable, str(Path(__file__))]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._child = subprocess.Popen(command, **pipes)  # pyright: ignore[reportCallIssue, reportArgumentType]
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            _send(self._child.stdin, (model, dict(inputs)))
            fine, found = pickle.load(self._child.stdout)
        except (EOFError, BrokenPipeError):
            self._child.wait()
            self._child = None
            self.ended += 1
            raise RuntimeError("onnxruntime ended its process") from None
        if not fine:
            raise RuntimeError(found)
        return found


def _send(stream: IO[bytes], message: object) -> None:
    pickle.dump(message, stream)
    stream.flush()


def _serve() -> None:
    """Answer (model, inputs) with (True, outputs) or (False, message) until the input ends."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Its optimisations are another approximation.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    while True:
        try:
            model, inputs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            answer = True, session.run(None, inputs)
        except Exception as error:
            answer = False, str(error)
        _send(sys.stdout.buffer, answer)


if __name__ == "__main__":
    _serve()
