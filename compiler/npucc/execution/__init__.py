"""Execution of models that are not a single program: device programs, host nodes and control flow in turn."""

from npucc.execution.session import Execution, ExecutionResult, execute

__all__ = ["Execution", "ExecutionResult", "execute"]
