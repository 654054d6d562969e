"""Run passes on a parsed module, as `npucc opt` and tests do."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from npuisa.errors import ExitCode, NpuError, error_code
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.printer import Printer
from xdsl.utils.exceptions import PassFailedException, VerifyException

from npucc.context import NpuContext

PASS_REFUSED = error_code("NPU-E0832", ExitCode.BAD_INPUT, "A pass cannot be applied to this IR")


def apply_passes(
    module: ModuleOp, context: NpuContext, passes: Iterable[ModulePass], *, verify_each: bool = False
) -> None:
    """Apply in order and verify at the end (or after each); a module that then does not verify is a bug of the pass."""
    for made in passes:
        try:
            made.apply(context, module)
        except PassFailedException as error:
            raise pass_refused(made.name, error) from None
        if verify_each:
            _verify(module, made.name)
    _verify(module, "the pipeline")


def pass_refused(name: str, error: PassFailedException) -> NpuError:
    """What a pass says about IR that it cannot take, as an error for the user."""
    remedy = "see the pass's conditions in docs/reference/passes.md"
    return NpuError(PASS_REFUSED, "the pass failed", where=name, found=str(error), remedy=remedy)


def _verify(module: ModuleOp, after: str) -> None:
    try:
        module.verify()
    except VerifyException as error:
        error.add_note(f"the module does not verify after {after}")
        raise


def module_text(module: ModuleOp, *, generic: bool = False) -> str:
    """The module as text, with a newline at the end."""
    stream = StringIO()
    Printer(stream, print_generic_format=generic).print_op(module)
    return stream.getvalue() + "\n"
