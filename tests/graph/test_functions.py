"""What passes say about text that is no graph function, and about groups that are not ready to be lowered."""

from __future__ import annotations

import pytest
from npucc.dialects.graph import Graph
from npucc.driver import make_context
from npucc.passes.registry import make_pipeline
from npucc.text_passes import apply_passes
from npuisa.errors import ExitCode, NpuError
from npuisa.target import Target
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import Builtin
from xdsl.parser import Parser
from xdsl.utils.exceptions import PassFailedException

T = "tensor<4x8xf32>"
NAMES = 'attributes {npucc.inputs = ["x"], npucc.outputs = ["y"]}'
PIPELINE = "graph-fuse,graph-insert-copies,graph-schedule,convert-graph-to-tile"
IDENTITY = f"func.func @main(%x: {T}) -> {T} {NAMES} {{ func.return %x : {T} }}"
SCHEDULE = "#graph.schedule<order = [], tiles = {}, buffers = {}>"


def group(body: str, attributes: str = "", result: str = "r") -> str:
    return f"""
func.func @main(%x: {T}) -> {T} {NAMES} {{
  %g = graph.group(%x) schedule {SCHEDULE} {attributes} {{
  ^bb0(%a: {T}):
    {body}
    graph.yield %{result} : {T}
  }}
  func.return %g : {T}
}}"""


def error_of(text: str, passes: str) -> NpuError:
    context = make_context(Target.load("edge-4t"))
    module = Parser(context, text).parse_module()
    module.verify()
    with pytest.raises(NpuError) as caught:
        apply_passes(module, context, make_pipeline(passes))
    assert caught.value.entry.exit_code in (ExitCode.BAD_INPUT, ExitCode.DOES_NOT_FIT)
    return caught.value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{IDENTITY}\n{IDENTITY.replace('@main', '@other')}", "@main, @other"),
        (f"{IDENTITY}\nfunc.func private @f({T}) -> {T}", "@main, @f"),
        (IDENTITY.replace(T, "i32"), "i32"),
        (IDENTITY.replace(T, "tensor<4xi7>"), "tensor<4xi7>"),
        (IDENTITY.replace(T, "tensor<?xf32>"), "tensor<?xf32>"),
        (IDENTITY.replace("func.return", f"%r = func.call @main(%x) : ({T}) -> {T} func.return"), "func.call"),
        (IDENTITY.replace("func.return", "cf.br ^next\n^next:\nfunc.return"), "2 blocks"),
    ],
    ids=["two functions", "declaration", "scalar", "element type", "dynamic", "call", "blocks"],
)
def test_not_a_graph_function(text: str, found: str) -> None:
    error = error_of(text, PIPELINE)
    assert error.entry.code == "NPU-E0803"
    assert found in str(error)


def test_every_graph_pass_checks_its_function() -> None:
    text = IDENTITY.replace("func.return", "cf.br ^next\n^next:\nfunc.return")
    for name in ("simplify", "fold", "sink-transposes", "precision{dtype=f16}", "fuse", "insert-copies", "schedule"):
        assert error_of(text, f"graph-{name}").entry.code == "NPU-E0803"


def test_a_result_of_the_model_cannot_stay_on_chip() -> None:
    text = group(f"%r = graph.relu(%a) : ({T}) -> {T}", 'attributes {space = "sram", nodes = ["/relu"]}')
    error = error_of(text, "convert-graph-to-tile")
    assert error.entry.code == "NPU-E0703" and "/relu" in str(error) and "space" in str(error)


ADD = f"%c = graph.constant @c : tensor<f32>\n%r = graph.add(%a, %c) : ({T}, tensor<f32>) -> {T}"


def test_constants_without_values() -> None:
    error = error_of(group(ADD, 'attributes {nodes = ["/add"]}'), "convert-graph-to-tile")
    assert error.entry.code == "NPU-E0804"
    assert "@c" in str(error) and "/add" in str(error) and ".safetensors" in str(error)


def test_constants_under_stock_xdsl() -> None:
    """xdsl-opt has no values: the pass fails in xDSL's own way."""
    context = Context()
    for dialect in (Builtin, func.Func, Graph):
        context.load_dialect(dialect)
    module = Parser(context, group(ADD)).parse_module()
    (convert,) = make_pipeline("convert-graph-to-tile")
    with pytest.raises(PassFailedException, match=r"@c.*\.safetensors"):
        convert.apply(context, module)


def test_kernel_limits_name_the_nodes() -> None:
    many = "\n".join(f"%r{i + 1} = graph.softplus(%r{i}) : ({T}) -> {T}" for i in range(20))
    text = group(f"%r0 = graph.tanh(%a) : ({T}) -> {T}\n{many}", 'attributes {nodes = ["/deep"]}', "r20")
    passes = "convert-graph-to-tile,tile-plan-memory,tile-insert-semaphores,convert-tile-to-npu"
    error = error_of(text, passes)
    assert error.entry.code == "NPU-E0720" and "/deep" in error.where
