"""Inputs and outputs of a graph-level module, as the ports of the program will be."""

from __future__ import annotations

from npuisa.program import Port
from xdsl.dialects.builtin import ModuleOp

from npucc.interpreters.graph import input_names, main_function
from npucc.types import dtype_of, element_of, shape_of


def graph_inputs(module: ModuleOp) -> list[Port]:
    """Name, type and shape of each argument of @main (no DRAM addresses yet: base 0)."""
    main = main_function(module)
    return [
        Port(name, dtype_of(element_of(argument)), shape_of(argument), 0)
        for name, argument in zip(input_names(main), main.args)
    ]
