"""All error codes: importing every module of ours registers them."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import npuisa
import npusim
from npuisa.errors import ErrorCode, catalogue

import npucc


def full_catalogue() -> list[ErrorCode]:
    """Every error code that any part of the project can raise, sorted."""
    for package in (npuisa, npusim, npucc):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            import_module(module.name)
    return catalogue()
