"""The table of importer functions: one per ONNX op, found by domain, name and opset version.

Another package adds ops through the entry point group `npucc.ops`: the entry names a module (loading it runs the
decorators) or a function without arguments that registers. An importer function has the signature

    @onnx_op("MyOp", since=1, domain="com.example")
    def my_op(node: ImportNode) -> SSAValue | Sequence[SSAValue]

and returns the outputs in ONNX's order (trailing optional outputs that nothing reads may be left out); an output whose
shape depends on data is a `Bounded`. It raises `NeedsValue` where the value of an input must be known, `Unsupported`
for valid nodes it cannot import and `Malformed` for nodes that contradict ONNX.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import entry_points

from npucc.frontend import ops
from npucc.frontend.node import ImportNode, Output

Importer = Callable[[ImportNode], Output | Sequence[Output]]

ENTRY_POINT_GROUP = "npucc.ops"
_TABLE: dict[tuple[str, str], dict[int, Importer]] = {}


def onnx_op(name: str, since: int = 1, domain: str = "") -> Callable[[Importer], Importer]:
    """Register an importer function for op `name` from version `since` of its domain's opset on."""

    def register(function: Importer) -> Importer:
        versions = _TABLE.setdefault((domain, name), {})
        if since in versions:
            raise ValueError(f"{domain or 'ai.onnx'}.{name} since {since} has two importer functions")
        versions[since] = function
        return function

    return register


@cache
def load_importers() -> None:
    """Import every op family, and the packages that add ops through entry points."""
    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        loaded = entry.load()
        if callable(loaded):
            loaded()


def find_importer(domain: str, name: str, version: int) -> Importer | None:
    """The function for the op at opset `version`; None if there is none."""
    load_importers()
    versions = _TABLE.get((domain, name), {})
    since = max((number for number in versions if number <= version), default=None)
    return None if since is None else versions[since]


def supported_ops() -> dict[tuple[str, str], list[int]]:
    """(domain, op) -> the versions at which an importer function starts."""
    load_importers()
    return {key: sorted(versions) for key, versions in sorted(_TABLE.items())}
