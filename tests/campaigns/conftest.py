"""The graph builder of the lowering tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _lowering_conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "lowering_conftest", Path(__file__).parents[1] / "lowering" / "conftest.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def graph_builder() -> type:
    return _lowering_conftest().GraphBuilder
