"""Structural rules of a program, checked by the loader, the assembler and whoever makes programs.

Every table index is in range, operands lie in memory spaces their field allows and have the dims and types of
their instruction (`operand_rules`), memory is inside a region (or the target's memories), branches and loops are
well formed, and every table has the shape it must have.
What a program computes, and whether its engines race, is not judged here (see the simulator's checkers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from npuisa.control_flow import check_control_flow
from npuisa.descriptor import Descriptor, Space
from npuisa.descriptor_encoding import BASE_BITS, check_descriptor
from npuisa.encoding import encode, layout
from npuisa.errors import ErrorCode, ExitCode, NpuError, error_code
from npuisa.instructions import DMA_ENGINES, SEMAPHORES, Instruction, Operand
from npuisa.kernel_rules import check_kernel
from npuisa.memory_map import check_regions, enclosing, memory_problem
from npuisa.operand_rules import check_operands
from npuisa.program import Port, Program, RegionKind
from npuisa.table_encoding import check_loop
from npuisa.target import Target

BAD_PROGRAM = error_code("NPU-E0310", ExitCode.BAD_INPUT, "The program breaks a structural rule")
BAD_TABLE = error_code("NPU-E0311", ExitCode.BAD_INPUT, "A table of the program is not legal")

MAX_PROBLEMS = 20
MAX_INSTRUCTIONS = 1 << 24
MAX_TABLE = 0xFFFF
MAX_SEMAPHORE_VALUE = 0xFFFF


Place = Callable[[str, int], str]
"""Names a row of a table, by kind and index, in the user's terms (an assembler says the line)."""


def row_place(kind: str, index: int) -> str:
    """The name of a table row when there is no text to point at."""
    return f"{kind} {index}"


@dataclass
class _Findings:
    where: str
    place: Place
    problems: list[NpuError] = field(default_factory=list)

    def add(self, place: str, message: str, found: str = "", remedy: str = "", entry: ErrorCode = BAD_PROGRAM) -> None:
        """Note one broken rule."""
        self.problems.append(NpuError(entry, message, place, found, remedy))

    def run(self, place: str, check: Callable[[], object]) -> None:
        """Run a check that raises NpuError and note what it finds."""
        try:
            check()
        except NpuError as error:
            error.where = ", ".join(part for part in (place, error.where) if part)
            self.problems.append(error)

    def finish(self) -> None:
        """Raise one error with everything found (at most MAX_PROBLEMS of them)."""
        if not self.problems:
            return
        if len(self.problems) == 1:
            error = self.problems[0]
            error.where = ": ".join(part for part in (self.where, error.where) if part)
            raise error
        count = len(self.problems)
        shown = self.problems[:MAX_PROBLEMS]
        raise NpuError(BAD_PROGRAM, f"the program breaks {count} rules", self.where, problems=shown)


def validate_program(program: Program, target: Target | None = None, where: str = "", place: Place = row_place) -> None:
    """Raise NpuError (exit code 7) naming every broken rule; a `target` must be able to hold the program.

    `where` names the program and `place` its rows in messages.
    """
    findings = _Findings(where, place)
    _check_sizes(program, findings)
    for number, descriptor in enumerate(program.descriptors):
        findings.run(place("descriptor", number), lambda item=descriptor: check_descriptor(item))
    for number, kernel in enumerate(program.kernels):
        findings.run(place("kernel", number), lambda item=kernel: check_kernel(item))
    for number, loop in enumerate(program.loops):
        findings.run(place("loop", number), lambda item=loop: check_loop(item))
    _check_semaphores(program, findings)
    _check_names(program, findings)
    _check_text(program, findings)
    findings.run("regions", lambda: check_regions(program.regions))
    findings.finish()
    _check_ports(program, findings)
    _check_constants(program, findings)
    _check_instructions(program, findings)
    findings.finish()
    _check_memory(program, target, findings)
    if target is not None:
        _check_channels(program, target, findings)
    for message, number in check_control_flow(program.instructions):
        findings.add(place("instruction", number), message)
    findings.finish()


def operands(instruction: Instruction) -> Iterator[tuple[str, Operand]]:
    """The operands that are present, with the names of their fields."""
    for slot in layout(type(instruction)):
        if slot.spec.kind == "operand":
            operand: Operand = getattr(instruction, slot.name)
            if operand.desc != MAX_TABLE:
                yield slot.name, operand


def _check_sizes(program: Program, findings: _Findings) -> None:
    tables: tuple[tuple[str, Sequence[object], int], ...] = (
        ("instructions", program.instructions, MAX_INSTRUCTIONS),
        ("descriptors", program.descriptors, MAX_TABLE),
        ("kernels", program.kernels, MAX_TABLE),
        ("loops", program.loops, MAX_TABLE),
        ("semaphores", program.semaphores, SEMAPHORES),
    )
    for name, table, limit in tables:
        if len(table) > limit:
            findings.add(name, f"at most {limit} {name}", str(len(table)), entry=BAD_TABLE)
    if program.debug and len(program.debug) != len(program.instructions):
        found = f"{len(program.debug)} entries, {len(program.instructions)} instructions"
        findings.add("debug", "the debug map has one entry per instruction or none", found, entry=BAD_TABLE)


def _check_semaphores(program: Program, findings: _Findings) -> None:
    if len(program.semaphores) != len(program.semaphore_names):
        found = f"{len(program.semaphores)} semaphores, {len(program.semaphore_names)} names"
        findings.add("semaphores", "every semaphore has a name", found, entry=BAD_TABLE)
    for name, value in zip(program.semaphore_names, program.semaphores):
        if not 0 <= value <= MAX_SEMAPHORE_VALUE:
            message = f"the initial value is 0..{MAX_SEMAPHORE_VALUE}"
            findings.add(f"semaphore {name}", message, str(value), entry=BAD_TABLE)


def _check_names(program: Program, findings: _Findings) -> None:
    tables: dict[str, list[str]] = {
        "region": [item.name for item in program.regions],
        "input": [item.name for item in program.inputs],
        "output": [item.name for item in program.outputs],
    }
    for what, names in tables.items():
        seen: set[str] = set()
        for name in names:
            if name in seen:
                message = f"two entries of the {what} table have the same name"
                findings.add(f"{what} table", message, repr(name), "give each a name of its own", BAD_TABLE)
            seen.add(name)


def _check_text(program: Program, findings: _Findings) -> None:
    """Every text is UTF-8 and every group number has 32 bits, so that the program can be written."""
    texts = [program.target, *program.metadata, *program.metadata.values(), *program.semaphore_names]
    for table in (program.descriptors, program.kernels, program.regions, program.inputs, program.outputs):
        texts += [item.name for item in table]
    for entry in dict.fromkeys(program.debug):
        texts += [entry.group_name, entry.tile_op, *entry.nodes]
        if not -(1 << 31) <= entry.group < 1 << 31:
            findings.add("debug", "group numbers have 32 bits", str(entry.group), entry=BAD_TABLE)
    for text in texts:
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            findings.add("names", "a text is not valid Unicode", ascii(text), "rename it", BAD_TABLE)


def _check_ports(program: Program, findings: _Findings) -> None:
    for kind, ports in ((RegionKind.INPUT, program.inputs), (RegionKind.OUTPUT, program.outputs)):
        for port in ports:
            _check_port(program, port, kind, findings)


def _check_port(program: Program, port: Port, kind: RegionKind, findings: _Findings) -> None:
    place = f"{kind.value} {port.name}"
    if len(port.shape) > 255 or any(not 0 <= dim < 1 << BASE_BITS for dim in port.shape):
        findings.add(place, f"dims are 0..2^{BASE_BITS} - 1", str(port.shape), entry=BAD_TABLE)
        return
    size = port.dtype.bytes
    for dim in port.shape:
        size *= dim
    if enclosing(program.regions, port.base, port.base + size) is None:
        found = f"bytes {port.base}..{port.base + size}"
        findings.add(place, "the port lies outside of every region", found, "add a region for it", BAD_TABLE)


def _check_constants(program: Program, findings: _Findings) -> None:
    sizes = {region.name: region.size for region in program.regions if region.kind is RegionKind.CONSTANT}
    for name, data in program.constants.items():
        if name not in sizes:
            findings.add(f"constant {name}", "there is no constant region of this name", entry=BAD_TABLE)
        elif data.ndim != 1 or data.dtype.name != "uint8" or data.nbytes > sizes[name]:
            found = f"{data.dtype} of shape {data.shape}"
            message = f"a constant is a vector of at most {sizes[name]} uint8, the size of its region"
            findings.add(f"constant {name}", message, found, entry=BAD_TABLE)


def _check_instructions(program: Program, findings: _Findings) -> None:
    limits = {
        "kernel": len(program.kernels),
        "loop": len(program.loops),
        "target": len(program.instructions) + 1,
        "descriptor": len(program.descriptors),
        "semaphore": len(program.semaphores),
    }
    for number, item in enumerate(program.instructions):
        place = findings.place("instruction", number)
        before = len(findings.problems)
        findings.run(place, lambda instruction=item: encode(instruction))
        if len(findings.problems) > before:
            continue
        place = f"{place} ({item.mnemonic})"
        _check_indices(program, item, limits, place, findings)
        if len(findings.problems) == before:
            findings.run(place, lambda item=item: check_operands(item, program.descriptors, program.kernels))


def _check_indices(
    program: Program, item: Instruction, limits: dict[str, int], place: str, findings: _Findings
) -> None:
    for slot in layout(type(item)):
        limit = limits.get(slot.spec.kind)
        if limit is not None and getattr(item, slot.name) >= limit:
            message = f"{slot.name}: the program has no {slot.spec.kind} of this number"
            findings.add(place, message, f"{getattr(item, slot.name)} of {limit}")
    for semaphore in (*item.waits, *item.posts):
        if semaphore >= len(program.semaphores):
            found = f"{semaphore} of {len(program.semaphores)}"
            findings.add(place, "the program has no semaphore of this number", found)
    spaces = {slot.name: slot.spec.spaces for slot in layout(type(item)) if slot.spec.kind == "operand"}
    for name, operand in operands(item):
        if operand.desc >= len(program.descriptors):
            found = f"{operand.desc} of {len(program.descriptors)}"
            findings.add(place, f"operand {name}: no descriptor of this number", found)
            continue
        descriptor = program.descriptors[operand.desc]
        if descriptor.space not in spaces[name]:
            legal = ", ".join(space.name.lower() for space in spaces[name])
            message = f"operand {name}: descriptor {descriptor.name} is in a memory this operand cannot reach"
            findings.add(place, message, descriptor.space.name.lower(), f"legal: {legal}")


def _check_memory(program: Program, target: Target | None, findings: _Findings) -> None:
    fixed = [False] * len(program.descriptors)
    for item in program.instructions:
        for _, operand in operands(item):
            fixed[operand.desc] |= operand.reg == 0
    for number, descriptor in enumerate(program.descriptors):
        problem = memory_problem(descriptor, program.regions, fixed[number], target)
        if problem:
            findings.add(
                f"{findings.place('descriptor', number)} ({descriptor.name})", problem, _range_text(descriptor)
            )


def _check_channels(program: Program, target: Target, findings: _Findings) -> None:
    for number, item in enumerate(program.instructions):
        if item.engine in DMA_ENGINES and DMA_ENGINES.index(item.engine) >= target.dma.channels:
            message = f"{target.name} has {target.dma.channels} DMA channels"
            findings.add(findings.place("instruction", number), message, item.engine.name.lower())


def _range_text(descriptor: Descriptor) -> str:
    low, high = descriptor.byte_range()
    return f"bytes {low}..{high} of {Space(descriptor.space).name.lower()}"
