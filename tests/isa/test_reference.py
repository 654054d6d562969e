"""The generated reference names everything the tables hold."""

from __future__ import annotations

from importlib import resources

from npuisa.instructions import TABLE, Instruction
from npuisa.kernel import MICRO_OPCODES
from npuisa.reference import assembly_markdown, instructions_markdown


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_instruction_has_a_section_with_its_fields() -> None:
    page = instructions_markdown()
    for cls in TABLE.values():
        text = section(page, cls.mnemonic)
        assert f"{cls.opcode:#04x}" in text, cls.mnemonic
        for name, _ in cls.fields():
            assert f"| `{name}` |" in text, f"{cls.mnemonic}.{name}"


def test_every_micro_operation_is_listed() -> None:
    text = section(instructions_markdown(), "Micro-operations")
    assert all(f"| `{op.name}` | {op.code} |" in text for op in MICRO_OPCODES)


def test_every_directive_of_the_grammar_is_listed() -> None:
    grammar = resources.files("npuisa").joinpath("assembly.lark").read_text()
    page = assembly_markdown()
    directives = {word.strip('"') for word in grammar.split() if word.startswith('".')}
    assert len(directives) > 10
    assert not {word for word in directives if word not in page}


def test_tables_have_as_many_cells_as_heads() -> None:
    lines = (instructions_markdown() + assembly_markdown()).splitlines()
    fenced = width = 0
    for line in lines:
        fenced ^= line.startswith("```")
        if fenced or not line.startswith("| "):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        assert cells == (width or cells), line
        width = cells


def test_the_base_class_is_not_an_instruction() -> None:
    assert Instruction not in TABLE.values()
