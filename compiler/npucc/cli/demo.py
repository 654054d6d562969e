"""`npucc demo`: the main job on the small trained model that ships in the package."""

from __future__ import annotations

from typing import Annotated

import typer

from npucc.cli.arguments import DEFAULT_TARGET, OptLevel, Precision, TargetName, load_target, make_options
from npucc.cli.console import CONSOLE, verb

Batch = Annotated[int, typer.Option("--batch", min=1, max=360, help="Images per run of the program.")]
IMAGES = 360


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", help="Compile a digits classifier, run its test images on the NPU, show the cycles.")(
        verb(demo)
    )


def demo(
    target: TargetName = DEFAULT_TARGET,
    batch: Batch = 1,
    opt_level: OptLevel = 2,
    precision: Precision = "",
) -> None:
    """Run and explain."""
    from npucc.cli.profile import print_profile
    from npucc.demo import run_demo

    machine = load_target(target)
    with CONSOLE.progress_bar("simulating", -(-IMAGES // batch)) as advance:
        result = run_demo(machine, make_options(opt_level, precision, []), batch, advance)
    CONSOLE.result(result)
    CONSOLE.text(
        f"digits classifier (conv, conv, pool, dense, dense, softmax) on {machine.name}: {machine.description}"
    )
    CONSOLE.text(
        f"{result.images} test images: {result.accuracy_npu:.2%} right on the NPU, {result.accuracy_onnxruntime:.2%} "
        f"in onnxruntime; same class for {result.same_class}"
    )
    CONSOLE.text(
        f"{result.cycles_per_image:,.0f} cycles per image (batch {batch}): "
        f"{result.images_per_second_at_clock:,.0f} images per second at {machine.clock_ghz:g} GHz"
    )
    CONSOLE.text()
    print_profile(result.run, machine, 0)
    CONSOLE.text()
    CONSOLE.text("next:")
    for line in (
        f"npucc demo -t {machine.name} --batch 32           fill the array better",
        "npucc demo --precision f16                  half the bytes, four times the MACs per cycle",
        "npucc target list; npucc demo -t TARGET     another machine",
        "npucc profile MODEL.onnx                    your own model",
        "npucc compile MODEL.onnx --emit asm         the instructions",
    ):
        CONSOLE.text(f"  {line}")
