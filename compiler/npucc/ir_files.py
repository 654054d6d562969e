"""IR text and its constants as files: `model.mlir` with `model.safetensors` beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.target import Target
from safetensors import SafetensorError
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Region, SSAValue
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from npucc.constants import ConstantStore
from npucc.context import NpuContext
from npucc.driver import Compilation, make_context, start
from npucc.options import Options
from npucc.pipeline import LEGAL_DIALECTS, Level, Step, pipeline
from npucc.resume import remaining_steps

BAD_IR = error_code("NPU-E0830", ExitCode.BAD_INPUT, "The IR text cannot be read")
BAD_CONSTANTS = error_code("NPU-E0831", ExitCode.BAD_INPUT, "The constants beside the IR text cannot be read")
IR_SUFFIX = ".mlir"
CONSTANTS_SUFFIX = ".safetensors"


def start_from(
    path: Path, target: Target, options: Options, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[Compilation, list[Step]]:
    """A compilation from an ONNX model, or from IR text, and the passes that are left (see `resume`).

    USAGE error for an option that only passes before the text could have heeded.
    """
    if path.suffix != IR_SUFFIX:
        return start(path, target, options, shapes), pipeline(options)
    context = make_context(target, load_constants(path))
    module = parse_ir(_read(path), context, str(path))
    steps = remaining_steps(module, level_of(module), options)
    return Compilation(options, module, context), steps


def parse_ir(text: str, context: NpuContext, where: str) -> ModuleOp:
    """Parse and verify IR text; NPU-E0830 with line and column."""
    _check_strings(text, where)
    parser = Parser(context, text, where)
    try:
        module = parser.parse_module()
    except (ParseError, ValueError, VerifyException) as error:
        # Attributes and operations that cannot be built are noticed where the parser stands.
        position, found = (error.span.start, error.msg) if isinstance(error, ParseError) else (parser.pos, str(error))
        place = f"{where}:{_line_and_column(text, position)}"
        raise NpuError(BAD_IR, "syntax error", where=place, found=found[:800], remedy="mend the text") from None
    except RecursionError:
        raise NpuError(BAD_IR, "regions are nested too deep", where=where, remedy="mend the text") from None
    try:
        module.verify()
    except VerifyException as error:
        raise NpuError(
            BAD_IR, "the IR breaks a rule", where=where, found=str(error)[:800], remedy="mend the text"
        ) from None
    _check_order(module.body, set(), where)
    return module


_COMMENT_OR_STRING = re.compile(r'//[^\n]*|"(?:[^"\\\n\v\f]|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+(?P<end>")?')


def _check_strings(text: str, where: str) -> None:
    """Strings end on their line: xDSL's lexer needs exponential time to see that one does not."""
    for found in _COMMENT_OR_STRING.finditer(text):
        if found[0].startswith('"') and found["end"] is None:
            place = f"{where}:{_line_and_column(text, found.start())}"
            raise NpuError(BAD_IR, "syntax error", where=place, found="a string without end", remedy="mend the text")


def _check_order(region: Region, made: set[SSAValue], where: str) -> None:
    """Values are made before they are used, which xDSL does not verify; regions with branches are left to passes."""
    if len(region.blocks) != 1:
        return
    here: list[SSAValue] = [*region.block.args]
    made.update(here)
    for op in region.block.ops:
        early = next((operand for operand in op.operands if operand not in made), None)
        if early is not None:
            name = f"%{early.name_hint}" if early.name_hint else f"operand {op.operands.index(early)}"
            raise NpuError(
                BAD_IR, "a value is used before it is made, or outside of its region", where=where,
                found=f"{name} in {op.name}", remedy="mend the text",
            )  # fmt: skip
        for inner in op.regions:
            _check_order(inner, made, where)
        here += op.results
        made.update(op.results)
    made.difference_update(here)


def _line_and_column(text: str, position: int) -> str:
    before = text[:position]
    return f"{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"


def level_of(module: ModuleOp) -> Level:
    """The level whose operations the module holds."""
    used = {op.name.split(".")[0] for op in module.walk()}
    for level in reversed(Level):
        if level.value in used and used <= LEGAL_DIALECTS[level]:
            return level
    raise NpuError(
        BAD_IR, "the module is at no level of the compiler", found=", ".join(sorted(used)),
        remedy="give the text that `npucc compile --emit graph|tile|npu` writes",
    )  # fmt: skip


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NpuError(BAD_IR, "cannot read", where=str(path), found=str(error), remedy="check the path") from None


def load_constants(path: Path) -> ConstantStore:
    """The constants beside IR text `path`; an empty store where there is no such file."""
    file = path.with_suffix(CONSTANTS_SUFFIX)
    if not file.is_file():
        return ConstantStore()
    try:
        return ConstantStore.load(file)
    except (OSError, SafetensorError, ValueError) as error:
        remedy = "write it again with `npucc compile --emit graph -o FILE.mlir`"
        raise NpuError(BAD_CONSTANTS, "cannot read", where=str(file), found=str(error), remedy=remedy) from None


def save_constants(constants: ConstantStore, path: Path) -> None:
    """Write the constants beside IR text `path`."""
    constants.save(path.with_suffix(CONSTANTS_SUFFIX))


@dataclass
class IrDump:
    """Writes `NN-pass.mlir` after each pass, and the constants once at the end of each level."""

    folder: Path
    constants: ConstantStore
    count: int = field(default=0)

    def write(self, step: Step, module: ModuleOp) -> None:
        """One file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.count:02d}-{step.name}{IR_SUFFIX}"
        path.write_text(str(module) + "\n")
        self.count += 1
