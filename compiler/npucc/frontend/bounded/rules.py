"""The table of rules, and how a rule sees its node."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from xdsl.ir import SSAValue

from npucc.frontend.bounded.extents import Extents
from npucc.frontend.builder import GraphBuilder
from npucc.frontend.node import Bounded, ImportNode, Output, Value
from npucc.frontend.problems import Unsupported
from npucc.types import shape_of

RunImporter = Callable[[ImportNode], Sequence[Output]]


@dataclass
class BoundedNode:
    """A node with bounded inputs. `view` sees their buffers; `extents[i]` the sizes of input i (static ones too)."""

    view: ImportNode
    extents: Sequence[Extents | None]
    run: RunImporter

    @property
    def build(self) -> GraphBuilder:
        """Makes graph ops."""
        return self.view.build

    def is_bounded(self, index: int) -> bool:
        """Whether the shape of input `index` depends on data."""
        extents = self.extents[index] if index < len(self.extents) else None
        return extents is not None and any(isinstance(extent, SSAValue) for extent in extents)

    def sizes(self, index: int) -> Extents:
        """Sizes of input `index`."""
        extents = self.extents[index]
        if extents is None:
            raise IndexError(index)
        return extents

    def only_first(self) -> bool:
        """Whether no input but the first one is bounded."""
        return not any(self.is_bounded(index) for index in range(1, len(self.extents)))

    def values(self, replaced: Mapping[int, Value] | None = None) -> list[SSAValue]:
        """The op's results on the buffers, some of them replaced; a result that is bounded itself is not expected."""
        inputs = list(self.view.inputs)
        for index, value in (replaced or {}).items():
            inputs[index] = value
        results: list[SSAValue] = []
        for index, result in enumerate(self.run(replace(self.view, inputs=inputs))):
            if isinstance(result, Bounded):
                raise TypeError(f"{self.view.op_type} made a bounded result of static inputs")
            name = f"{self.view.label}.{index}"
            results.append(result if isinstance(result, SSAValue) else self.build.constant(np.asarray(result), name))
        return results


Rule = Callable[[BoundedNode], Sequence[Output] | None]
"""Outputs of the node; None where the rule does not apply to this node."""

_RULES: dict[str, Rule] = {}


def bounded_rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule for ops of ai.onnx."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if name in _RULES:
                raise ValueError(f"{name} has two rules")
            _RULES[name] = rule
        return rule

    return register


@cache
def _load() -> None:
    package = importlib.import_module("npucc.frontend.bounded")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def apply_rule(view: ImportNode, inputs: Sequence[Output | None], run: RunImporter) -> list[Output] | None:
    """Outputs of a node some of whose `inputs` are bounded; None if it has to wait for their sizes.

    `run` imports a node (with its inputs replaced) by the op's own importer function.
    """
    _load()
    rule = None if view.domain else _RULES.get(view.op_type)
    if rule is None:
        return None
    buffers = [value.value if isinstance(value, Bounded) else value for value in inputs]
    node = BoundedNode(replace(view, inputs=buffers), [_extents(value) for value in inputs], run)
    try:
        outputs = rule(node)
    except Unsupported:  # perhaps only for the buffer's shape
        return None
    return None if outputs is None else list(outputs)


def _extents(value: Output | None) -> Extents | None:
    if value is None:
        return None
    if isinstance(value, Bounded):
        return value.extents
    return shape_of(value) if isinstance(value, SSAValue) else tuple(value.shape)


def output(value: SSAValue, extents: Extents) -> Output:
    """A bounded output; a plain one where no size depends on data."""
    return Bounded(value, extents) if any(isinstance(extent, SSAValue) for extent in extents) else value
