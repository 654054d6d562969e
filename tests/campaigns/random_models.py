"""Random models on the NPU, compared with onnx.reference and onnxruntime.

python tests/campaigns/random_models.py --models 2000 --seed 1      # a summary, findings by kind
python tests/campaigns/random_models.py --seed 1 --reduce "wrong Pad"   # the smallest model of such a finding
"""

from __future__ import annotations

import argparse
import re
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import HealthCheck, given, seed, settings
from model_graph import FLOATS, Array, names_read, tensor_info
from model_references import ONNXRUNTIME, TOLERANCE, close, in_f64, references, run_reference, within
from model_strategies import FAMILIES, Drawn, models, random_model
from npucc.backend import prepare
from npuisa.errors import NpuError

GOOD = ("right", "right in f64", "right node by node", "refused", "unjudged")
"""In f64: no further from the exact value than the references are. Node by node: each node gives what a reference
gives for what it reads, though the whole agrees with neither (one cannot run the whole, or a later node magnifies
rounding)."""


@dataclass(frozen=True)
class Verdict:
    """What became of a model. `key` groups findings and refusals; `disagreement`: between the two references."""

    kind: str
    key: str = ""
    detail: str = ""
    disagreement: bool = False


def judge(drawn: Drawn) -> Verdict:
    """Run the model everywhere and compare."""
    try:
        found = prepare(drawn.model).run(drawn.inputs)
    except NpuError as error:
        return Verdict("refused", _rule(error), str(error))
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-6:])
        return Verdict("traceback", _place(error), f"{where}{type(error).__name__}: {str(error)[-600:]}")
    known = references(drawn.model, drawn.inputs)
    if not known:
        return Verdict("unjudged", "neither reference runs it")
    every = [[close(a, b) for a, b in zip(found, reference.outputs, strict=True)] for reference in known]
    disagreement = len(known) == 2 and not all(close(a, b) for a, b in zip(known[0].outputs, known[1].outputs))
    if all(any(column) for column in zip(*every)):
        return Verdict("right", disagreement=disagreement)
    if _right_in_f64(drawn, found, [reference.outputs for reference in known]):
        return Verdict("right in f64", "+".join(drawn.ops), disagreement=disagreement)
    return _node_by_node(drawn, found, disagreement)


def _rule(error: NpuError) -> str:
    """Code and message without names and numbers."""
    first = error.problems[0] if error.problems else error
    return f"{first.entry.code} {re.sub(r'[0-9]+', 'N', first.message)[:90]}"


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.name}"


def _right_in_f64(drawn: Drawn, found: Sequence[Any], known: list[list[Array]]) -> bool:
    """Whether the error against f64 is of the size of the references' own errors."""
    exact = in_f64(drawn.model, drawn.inputs)
    if exact is None:
        return False
    for place, (value, wanted) in enumerate(zip(found, exact)):
        like = known[0][place]
        if value.shape != like.shape or value.dtype != like.dtype or wanted.shape != like.shape:
            return False
        if value.dtype.name not in FLOATS:
            if not np.array_equal(value, wanted):
                return False
            continue
        spread = np.max([np.abs(outputs[place].astype(np.float64) - wanted) for outputs in known], axis=0)
        if not within(value.astype(np.float64), wanted, *TOLERANCE[value.dtype.name], slack=10 * np.nan_to_num(spread)):
            return False
    return True


def _node_by_node(drawn: Drawn, found: Sequence[Any], disagreement: bool) -> Verdict:
    """Which node is wrong on the values that it reads there; none: errors of rounding that a later node magnifies."""
    model, inputs = drawn.model, drawn.inputs
    tensors = [name for node in model.graph.node for name in node.output]
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    del open_model.graph.output[:]
    values = dict(inputs) | {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    known = run_reference(_with_outputs(model, tensors), inputs)
    open_model = _with_outputs(model, tensors, known)
    values |= dict(zip(tensors, prepare(open_model).run(inputs)))
    for node in model.graph.node:
        alone = _alone(model, node, values)
        used = {name: values[name] for name in names_read(node)}
        wanted = references(alone, used)
        for place, name in enumerate(node.output):
            if wanted and not any(close(values[name], reference.outputs[place]) for reference in wanted):
                return Verdict("wrong", node.op_type, _difference(node, values[name], wanted[0].outputs[place]))
    outputs = [info.name for info in model.graph.output]
    if all(close(a, np.asarray(values[name])) for name, a in zip(outputs, found)):
        return Verdict("right node by node", "+".join(drawn.ops), disagreement=disagreement)
    return Verdict("wrong", "+".join(drawn.ops), "right node by node, wrong together")


def _with_outputs(model: onnx.ModelProto, names: list[str], values: Sequence[Array] = ()) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    infos = [tensor_info(*item) for item in zip(names, values)] or [onnx.ValueInfoProto(name=name) for name in names]
    copy.graph.output.extend(infos)
    return copy


def _alone(model: onnx.ModelProto, node: onnx.NodeProto, values: dict[str, Array]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for entries in (graph.node, graph.input, graph.output, graph.initializer):
        del entries[:]
    graph.node.append(node)
    graph.input.extend(tensor_info(name, np.asarray(values[name])) for name in names_read(node))
    graph.output.extend(tensor_info(name, np.asarray(values[name])) for name in node.output)
    return copy


def _difference(node: onnx.NodeProto, value: Any, wanted: Array) -> str:
    value = np.asarray(value)
    if value.dtype != wanted.dtype or value.shape != wanted.shape:
        return f"{node.name}: {value.dtype} {value.shape}, wanted {wanted.dtype} {wanted.shape}"
    places = np.argwhere(~(value == wanted))[:3]
    shown = ", ".join(f"{tuple(p.tolist())}: {value[tuple(p)]} for {wanted[tuple(p)]}" for p in places)
    return f"{node.name}: {shown}"


# --- a campaign -------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Verdicts of a campaign and, per finding, its first models."""

    verdicts: Counter[str] = field(default_factory=Counter)
    keys: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    disagreements: int = 0
    ops: Counter[str] = field(default_factory=Counter)
    nodes: int = 0
    findings: dict[tuple[str, str], tuple[Drawn, Verdict]] = field(default_factory=dict)

    def add(self, drawn: Drawn, verdict: Verdict) -> None:
        """Count one model."""
        self.verdicts[verdict.kind] += 1
        self.disagreements += verdict.disagreement
        self.ops.update(drawn.ops)
        self.nodes += len(drawn.ops)
        if verdict.key:
            self.keys[verdict.kind][verdict.key] += 1
            self.findings.setdefault((verdict.kind, verdict.key), (drawn, verdict))

    def report(self) -> str:
        """Text for people."""
        lines = [f"{sum(self.verdicts.values())} models, {self.nodes} nodes, {len(self.ops)} ops: "
                 + ", ".join(f"{count} {kind}" for kind, count in self.verdicts.most_common())]  # fmt: skip
        lines.append(f"the references disagree on {self.disagreements}; {ONNXRUNTIME.ended} models ended onnxruntime")
        for kind, keys in sorted(self.keys.items()):
            lines += [f"{kind}: {count:5d}  {key}" for key, count in keys.most_common()]
        return "\n".join(lines)


def campaign(count: int, start: int, families: Sequence[str], take: Callable[[Drawn, Verdict], None]) -> None:
    """Draw and judge the models of `count` seeds."""
    for number in range(start, start + count):
        drawn = random_model(number, families)
        take(drawn, judge(drawn))


def reduced(count: int, start: int, families: tuple[str, ...], wanted: str) -> tuple[Drawn, Verdict] | None:
    """The smallest model, as Hypothesis makes it, whose verdict is `wanted` ("wrong Pad"); None: none was found."""
    smallest: list[tuple[Drawn, Verdict]] = []

    @seed(start)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(models(families))
    def run(drawn: Drawn) -> None:
        verdict = judge(drawn)
        if f"{verdict.kind} {verdict.key}".startswith(wanted):
            smallest.append((drawn, verdict))
            raise AssertionError(verdict.detail)

    try:
        run()
    except AssertionError:
        return smallest[-1]
    return None


def shown(drawn: Drawn, verdict: Verdict) -> str:
    """A finding as text: the model, its inputs, what is wrong."""
    np.set_printoptions(threshold=60)
    tensors = [f"{t.name} = {onnx.numpy_helper.to_array(t)!r}" for t in drawn.model.graph.initializer]
    inputs = [f"{name} = {value!r}" for name, value in drawn.inputs.items()]
    again = "" if drawn.seed is None else f" (--models 1 --seed {drawn.seed})"
    head = f"--- {verdict.kind} {verdict.key}{again}"
    return "\n".join([head, onnx.printer.to_text(drawn.model), *tensors, *inputs, verdict.detail])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--families", default="", help=f"comma-separated, of {', '.join(FAMILIES)}")
    parser.add_argument("--reduce", default="", help="kind and key of a finding: print the smallest such model")
    parser.add_argument("--show", default="", help="also print one model per key of these kinds, such as refused")
    arguments = parser.parse_args()
    families = tuple(arguments.families.split(",")) if arguments.families else tuple(FAMILIES)
    if arguments.reduce:
        found = reduced(arguments.models, arguments.seed, families, arguments.reduce)
        print("no such finding" if found is None else shown(*found))
        return
    tally, begin = Tally(), time.monotonic()
    campaign(arguments.models, arguments.seed, families, tally.add)
    for (kind, _), (drawn, verdict) in tally.findings.items():
        if kind not in GOOD or kind in arguments.show.split(","):
            print(shown(drawn, verdict))
    print(tally.report())
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
