"""Page: the dialects, from their xDSL definitions."""

from __future__ import annotations

from xdsl.ir import Operation, TypeAttribute
from xdsl.irdl import IRDLOperation, OpDef

from npucc.docs.markdown import docstring, table
from npucc.universe import OWN_DIALECTS, load_dialect

INTRODUCTION = {
    "graph": "Whole tensors (builtin `tensor`), before tiling.",
    "tile": "Loops over tiles (scf), buffers in memory spaces (memref), copies and tile computations.",
    "npu": "One operation per instruction; the classes are made from the instruction table (instructions.md).",
}


def dialects_page() -> str:
    """One section per dialect: operations, then attributes and types."""
    return "# Dialects\n\n" + "\n".join(_dialect(name) for name in OWN_DIALECTS)


def _dialect(name: str) -> str:
    dialect = load_dialect(name)
    operations = sorted(dialect.operations, key=lambda op: op.name)
    attributes = sorted(dialect.attributes, key=lambda attribute: attribute.name)
    kinds = [(f"`{'!' if _is_type(a) else '#'}{a.name}`", docstring(a).split("\n\n")[0]) for a in attributes]
    return "\n".join(
        (
            f"## {name}\n",
            INTRODUCTION[name] + "\n",
            *(_operation(op) for op in operations),
            "### Attributes and types\n" if kinds else "",
            table(("attribute or type", "meaning"), kinds) if kinds else "",
        )
    )


def _is_type(attribute: type[object]) -> bool:
    return issubclass(attribute, TypeAttribute)


def _operation(op: type[Operation]) -> str:
    assert issubclass(op, IRDLOperation)
    definition: OpDef = op.get_irdl_definition()
    rows = [
        ("operands", ", ".join(name for name, _ in definition.operands)),
        ("results", ", ".join(name for name, _ in definition.results)),
        ("properties", ", ".join((*definition.properties, *definition.attributes))),
        ("regions", ", ".join(name for name, _ in definition.regions)),
    ]
    listed = "\n".join(f"- {what}: {names}" for what, names in rows if names)
    return f"### {op.name}\n\n{docstring(op)}\n\n{listed}\n"
