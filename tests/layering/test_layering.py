"""The arrows between the parts (docs/design.md): who may import whom, read from the sources, without importing them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DYNAMIC = ("import_module", "importlib.import_module", "__import__")
OURS = ("npuisa", "npusim", "npucc")
PASS_MODULES = ("passes", "dialects", "schedule", "planning", "analysis", "interpreters", "frontend")
PASSES_MAY_IMPORT = "npusim.cost"  # cost, costs, costs_matrix ...: formulas, no simulator


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it (also inside functions and `if TYPE_CHECKING`)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def ours(path: Path) -> set[str]:
    return {name for name in imports_of(path) if name.split(".")[0] in OURS}


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no sources in {folder}"
    return found


def wrong_imports(folder: str, allowed: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(folder)
        for name in sorted(ours(path))
        if name.split(".")[0] not in allowed
    ]


def test_isa_imports_nothing_of_ours() -> None:
    assert wrong_imports("isa", ("npuisa",)) == []


def test_runtime_imports_only_isa() -> None:
    assert wrong_imports("runtime", ("npuisa", "npusim")) == []


@pytest.mark.parametrize("package", PASS_MODULES)
def test_passes_know_the_cost_formulas_but_not_the_simulator(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(f"compiler/npucc/{package}")
        for name in sorted(ours(path))
        if name.split(".")[0] == "npusim" and name != "npusim" and not name.startswith(PASSES_MAY_IMPORT)
    ]
    assert wrong == []


def test_no_dynamic_way_around() -> None:
    """Packages below the compiler do not import by name, so the test above sees everything."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("isa", "runtime")
        for path in files(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in DYNAMIC
    ]
    assert wrong == []


def test_command_starts_without_heavy_imports() -> None:
    """`npucc --help` must stay fast: the command's modules import xDSL, onnx and NumPy only inside functions."""
    heavy = ("numpy", "onnx", "onnxruntime", "xdsl", "perfetto", "safetensors")
    wrong = []
    for path in files("compiler/npucc/cli"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                wrong += [f"{path.name} imports {name}" for name in names if name.split(".")[0] in heavy]
    assert wrong == []
