"""Reference pages in Markdown, made from the tables that the code itself runs on.

instructions_markdown()   encoding, fields and meaning of every instruction; micro-operations; element types
assembly_markdown()       directives of the assembly language and how instructions are spelled
targets_markdown()        schema of target files, the shipped targets and the source of each figure
errors_markdown()         every registered error code (of the modules that have been imported)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from inspect import cleandoc

from npuisa import container, descriptor_encoding, program_file, table_encoding
from npuisa.assembly_instructions import usage
from npuisa.dtypes import DTYPES
from npuisa.encoding import POST_OFFSET, WAIT_OFFSET, WORD_BITS, field_limits, layout, used_bits
from npuisa.instructions import HEADER_BITS, NO_OPERAND, TABLE, FieldSpec, Instruction
from npuisa.kernel import MAX_CONSTANTS, MAX_MICRO_OPS, MAX_SOURCES, MICRO_OPCODES, VECTOR_REGISTERS, MicroOpcode
from npuisa.spelling import TextField, text_fields

Row = Sequence[object]


def table(heads: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [_row(heads), _row(["---"] * len(heads)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Row) -> str:
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"


def instructions_markdown() -> str:
    """The instruction reference: every instruction, micro-operations, element types, table records."""
    parts = ["# Instructions", _encoding_text(), _overview()]
    parts += [_instruction(cls) for cls in TABLE.values()]
    parts += [micro_operations_markdown(), dtypes_markdown()]
    parts += _module_section("Tensor descriptors", descriptor_encoding.__doc__)
    parts += _module_section("Kernels and loops in the program", table_encoding.__doc__)
    parts += _module_section("Program files", f"{container.__doc__}\n{program_file.__doc__}")
    return "\n\n".join(parts) + "\n"


def _module_section(title: str, doc: str | None) -> list[str]:
    return [f"## {title}", cleandoc(doc or "")]


def _encoding_text() -> str:
    return (
        f"A word has {WORD_BITS} bits, little-endian: the header (opcode in bits 0-7, engine in 8-11, two waits of 7 "
        f"bits from bit {WAIT_OFFSET}, two posts of 7 bits from bit {POST_OFFSET}; semaphore + 1, 0 = none), then "
        f"from bit {HEADER_BITS} the fields of the instruction. Bits that no field uses are 0. An operand is a "
        f"descriptor index (16 bits, {NO_OPERAND.desc:#x} = absent) and a scalar register (5 bits) that is added to "
        "the descriptor's base."
    )


def _overview() -> str:
    rows = [
        (
            f"[`{cls.mnemonic}`](#{_anchor(cls)})",
            f"{cls.opcode:#04x}",
            _engines(cls),
            cleandoc(cls.__doc__ or "").split("\n")[0],
        )
        for cls in TABLE.values()
    ]
    return table(("instruction", "opcode", "engine", "meaning"), rows)


def _anchor(cls: type[Instruction]) -> str:
    return cls.mnemonic.replace(".", "")


def _engines(cls: type[Instruction]) -> str:
    return ", ".join(engine.name for engine in cls.units)


def _instruction(cls: type[Instruction]) -> str:
    parts = [
        f"## {cls.mnemonic}",
        cleandoc(cls.__doc__ or ""),
        f"Assembly: `{usage(cls)}`. Opcode {cls.opcode:#04x}, engine {_engines(cls)}.",
        f"```\n{_diagram(cls)}\n```",
    ]
    fields = text_fields(cls)
    if fields:
        offsets = {slot.name: slot.offset for slot in layout(cls)}
        rows = [_field_row(item, offsets[item.name]) for item in fields]
        parts.append(table(("field", "bits", "holds", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _diagram(cls: type[Instruction]) -> str:
    """The word from bit 0 on: start bits above, names below."""
    cells = [(0, f"opcode {cls.opcode:#04x}"), (8, "engine"), (WAIT_OFFSET, "waits"), (POST_OFFSET, "posts")]
    cells += [(slot.offset, slot.name) for slot in layout(cls)]
    if used_bits(cls) < WORD_BITS:
        cells.append((used_bits(cls), "0"))
    lines: list[str] = []
    for first in range(0, len(cells), 8):
        row = cells[first : first + 8]
        widths = [max(len(name), len(str(bit))) for bit, name in row]
        lines.append(" " + "   ".join(f"{bit:<{width}}" for (bit, _), width in zip(row, widths)).rstrip())
        lines.append("| " + " | ".join(f"{name:<{width}}" for (_, name), width in zip(row, widths)) + " |")
    return "\n".join(lines)


def _field_row(item: TextField, offset: int) -> Row:
    spec = item.spec
    return (f"`{item.name}`", f"{offset}-{offset + spec.width - 1}", _holds(spec), _default(item), spec.doc)


def _holds(spec: FieldSpec) -> str:
    if spec.kind == "operand":
        access = {"r": "source", "w": "destination", "rw": "destination, also read", "rmw": "updated"}[spec.access]
        return f"{access} in {', '.join(space.name.lower() for space in spec.spaces)}"
    if spec.enum is not None:
        return ", ".join(f"{member.name.lower()} = {int(member)}" for member in spec.enum)
    low, high = field_limits(spec)
    names = {
        "reg": "scalar register",
        "kernel": "kernel",
        "loop": "loop table entry",
        "target": "instruction index",
        "descriptor": "descriptor",
        "semaphore": "semaphore",
    }
    return names.get(spec.kind) or (f"{low}..{high}" if spec.width <= 32 else f"{spec.width}-bit signed integer")


def _default(item: TextField) -> str:
    if item.default is dataclasses.MISSING:
        return ""
    if item.spec.kind == "operand":
        return "absent"
    if item.spec.enum is not None:
        return item.spec.enum(item.default).name.lower()
    return f"r{item.default}" if item.spec.kind == "reg" else str(item.default)


def micro_operations_markdown() -> str:
    """The micro-operations of element-wise kernels."""
    limits = (
        f"A kernel has at most {MAX_MICRO_OPS} micro-operations on {VECTOR_REGISTERS} vector registers, "
        f"{MAX_SOURCES} sources and {MAX_CONSTANTS} constants. Registers are typed: a source must hold the type in "
        "which the micro-operation computes."
    )
    rows = [(f"`{op.name}`", op.code, op.arity, _types(op), op.cost.name.lower(), op.doc) for op in MICRO_OPCODES]
    heads = ("name", "code", "sources", "types", "cost class", "meaning")
    return f"## Micro-operations\n\n{limits}\n\n{table(heads, rows)}"


def _types(op: MicroOpcode) -> str:
    return ", ".join(kind.name.lower() for kind in sorted(op.types))


def dtypes_markdown() -> str:
    """The element types."""
    rows = [(f"`{dtype.name}`", dtype.code, dtype.bits, f"`{dtype.numpy.name}`") for dtype in DTYPES]
    return "## Element types\n\n" + table(("name", "code", "bits", "NumPy"), rows)


def assembly_markdown() -> str:
    """The assembly language: directives and the spelling of instructions."""
    rows = [(f"`{syntax}`", meaning) for syntax, meaning in _DIRECTIVES]
    spelled = [(f"`{usage(cls)}`", cleandoc(cls.__doc__ or "").split("\n")[0]) for cls in TABLE.values()]
    return (
        "\n\n".join(
            (
                "# Assembly language",
                "One statement per line; `//` begins a comment. Names that are not identifiers are quoted as in JSON; "
                "`name#1` and `name#2` tell apart entries of the same name.",
                table(("directive", "meaning"), rows),
                "## Instructions",
                "`label: mnemonic operands field=value wait a, b post c`. Operands are descriptor names, with a scalar "
                "register that moves the base in brackets: `w[r2]`; `_` leaves out an optional one. `<unit>` is the "
                "queue: `dma0` .. `dma3`, or for `q.sync` also `mx`, `out`, `vx`.",
                table(("usage", "meaning"), spelled),
            )
        )
        + "\n"
    )


_DIRECTIVES = (
    (".target NAME", "the machine the program is for"),
    ('.meta "KEY" = "VALUE"', "free text about the program"),
    (".region NAME KIND @ BASE size BYTES [sha256=HEX]", "DRAM region: input, output, constant or scratch"),
    (".input NAME DTYPE [DIMS] @ ADDRESS", "model input; an address is a number or REGION + OFFSET"),
    (".output NAME DTYPE [DIMS] @ ADDRESS", "model output"),
    (".sem NAME = VALUE ...", "semaphores and their initial values"),
    (".desc NAME SPACE DTYPE [DIMS : STRIDES] @ ADDRESS [fill VALUE]", "tensor descriptor; dense without strides"),
    (".kernel NAME(TYPES) -> vN ... .end", "element-wise kernel; lines `vD.TYPE = OP vA, vB` and `.const VALUES`"),
    (".loop NAME { rN += STEP mod MODULUS; ... }", "loop table entry; s.loop also takes it inline"),
    ('.debug NAME GROUP "GROUP NAME" "TILE OP" "NODE", ...', "origin of instructions"),
    (".loc NAME", "the following instructions have this origin"),
)


def reference_page() -> str:
    """Both on one page: the machine's instructions, then the assembly language."""
    return f"{instructions_markdown()}\n{assembly_markdown()}"
