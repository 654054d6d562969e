"""Error codes of the functional simulator (NPU-E0401 to NPU-E0419) and how it names a place in a program."""

from __future__ import annotations

from npuisa.errors import ExitCode, error_code
from npuisa.program import Program

STEP_LIMIT = error_code("NPU-E0401", ExitCode.TIME_LIMIT, "The program executed too many instructions")
CONTROL_FLOW = error_code("NPU-E0402", ExitCode.BAD_INPUT, "A loop, branch or table index leaves the program")
SCALAR_TRAP = error_code("NPU-E0403", ExitCode.BAD_INPUT, "The scalar unit divided by zero")
OUT_OF_BOUNDS = error_code("NPU-E0404", ExitCode.BAD_INPUT, "An operand lies outside its memory")
PROGRAM_ORDER = error_code("NPU-E0405", ExitCode.BAD_INPUT, "Program order blocks on a semaphore")
BAD_INPUTS = error_code("NPU-E0407", ExitCode.BAD_INPUT, "Inputs do not match the program's signature")
BAD_REGIONS = error_code("NPU-E0408", ExitCode.BAD_INPUT, "The program's DRAM regions contradict each other")
LOAD_RECORD = error_code("NPU-E0409", ExitCode.BAD_INPUT, "Recorded loads do not belong to the program")


def place(program: Program, index: int) -> str:
    """The instruction's number and mnemonic and, where the debug map has it, the ONNX nodes it comes from."""
    if not 0 <= index < len(program.instructions):
        return f"instruction {index}"
    text = f"instruction {index} ({program.instructions[index].mnemonic})"
    if index < len(program.debug):
        entry = program.debug[index]
        nodes = ", ".join(entry.nodes) or "no node"
        text += f" of {entry.tile_op} in group {entry.group} {entry.group_name} [{nodes}]"
    return text
