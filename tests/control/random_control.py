"""Random programs of loops and branches, as a graph and as a NumPy function at once.

Every value is a float tensor of one shape. A body draws from element-wise ops, products with constant weights, loops
(nested; with a fixed, a computed or a conditional number of steps; values carried, swapped, scanned and stacked, also
backwards) and branches on data or on the number of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from npucc.constants import ConstantStore
from npucc.dialects import graph
from npucc.frontend import regions
from npucc.frontend.builder import GraphBuilder
from npucc.types import tensor
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, FunctionType, ModuleOp, StringAttr
from xdsl.ir import Block, Region, SSAValue

LENGTH = 3
Array = Any


@dataclass(frozen=True)
class Pair:
    """A value in the graph, and what NumPy computes for it from an environment."""

    value: SSAValue
    eval: Callable[[dict[int, Array]], Array]


@dataclass
class Program:
    """The graph under construction."""

    rng: np.random.Generator
    build: GraphBuilder
    inputs: list[Pair]
    rows: Pair
    """[LENGTH, *shape], scanned."""
    number: Pair
    """An i64 scalar: trip count of some loops."""
    shape: tuple[int, int] = (2, 5)
    keys: Iterator[int] = field(default_factory=lambda: count(100))

    def fresh(self) -> int:
        """A new key of the environment."""
        return next(self.keys)

    def pick(self, values: list[Pair]) -> Pair:
        return values[int(self.rng.integers(len(values)))]


def memo(key: int, compute: Callable[[dict[int, Array]], Array]) -> Callable[[dict[int, Array]], Array]:
    """Evaluate once per environment."""

    def run(env: dict[int, Array]) -> Array:
        if key not in env:
            env[key] = compute(env)
        return env[key]

    return run


def simple(p: Program, values: list[Pair]) -> Pair:
    """An element-wise op or a product."""
    a, b, build = p.pick(values), p.pick(values), p.build
    kind = int(p.rng.integers(6))
    if kind == 0:
        return Pair(build.add(a.value, b.value), memo(p.fresh(), lambda env: a.eval(env) + b.eval(env)))
    if kind == 1:
        value = build.scaled(build.sub(a.value, b.value), 0.5)
        return Pair(value, memo(p.fresh(), lambda env: (a.eval(env) - b.eval(env)) * np.float32(0.5)))
    if kind == 2:
        return Pair(build.emit(graph.TanhOp(a.value)), memo(p.fresh(), lambda env: np.tanh(a.eval(env))))
    if kind == 3:
        width = p.shape[1]
        weights = (p.rng.normal(size=(width, width)) / width**0.5).astype(np.float32)
        product = build.matmul(a.value, build.constant(weights, "w"))
        return Pair(build.add(product, b.value), memo(p.fresh(), lambda env: a.eval(env) @ weights + b.eval(env)))
    if kind == 4:
        row = p.rng.normal(size=(1, p.shape[1])).astype(np.float32)
        value = build.mul(build.emit(graph.ReluOp(a.value)), build.constant(row, "row"))
        return Pair(value, memo(p.fresh(), lambda env: np.maximum(a.eval(env), 0) * row))
    turned = build.reshape(build.transpose(a.value, (1, 0)), p.shape)
    return Pair(build.add(turned, b.value), memo(p.fresh(), lambda env: a.eval(env).T.reshape(p.shape) + b.eval(env)))


def is_positive(p: Program, a: Pair, limit: float) -> Pair:
    """Whether the sum of all elements exceeds `limit`."""
    total = p.build.reshape(p.build.reduce(a.value, "sum", (0, 1)), ())
    value = p.build.emit(graph.GreaterOp(total, p.build.scalar(limit, total)))
    return Pair(value, memo(p.fresh(), lambda env: a.eval(env).sum(dtype=np.float64) > limit))


def branch(p: Program, values: list[Pair], depth: int) -> Pair:
    """One of two bodies, or one and an unchanged value."""
    condition = is_positive(p, p.pick(values), 0.01)
    chosen: list[Pair] = []

    def make(filled: bool) -> list[SSAValue]:
        chosen.append(body(p, values, depth - 1) if filled else p.pick(values))
        return [chosen[-1].value]

    both = bool(p.rng.integers(2))
    (result,) = regions.branch(p.build, condition.value, lambda: make(True), lambda: make(both))
    then, otherwise = chosen
    key = p.fresh()

    def evaluate(env: dict[int, Array]) -> Array:
        return (then if condition.eval(env) else otherwise).eval(dict(env))

    return Pair(result, memo(key, evaluate))


def loop(p: Program, values: list[Pair], depth: int) -> Pair:
    """A loop of two carried values; its result is one of them plus the sum of what it stacks."""
    build, kind = p.build, p.rng.choice(["static", "trip", "conditional"])
    first, second = p.pick(values), p.pick(values)
    backward, swaps = bool(p.rng.integers(2)), int(p.rng.integers(4))
    conditional = kind == "conditional"
    start = is_positive(p, first, -2.0)
    a, b, x = p.fresh(), p.fresh(), p.fresh()
    ends: dict[str, Pair] = {}

    def step(given: regions.Step) -> regions.Yielded:
        carried = [Pair(value, lambda env, key=key: env[key]) for value, key in zip(given.carried[-2:], (a, b))]
        piece = Pair(given.pieces[0], lambda env: env[x])
        inside = [*carried, piece, p.pick(values)]
        ends["next"] = carried[1] if swaps == 3 else body(p, inside, depth - 1)
        ends["other"] = carried[0] if swaps >= 2 else simple(p, [*inside, ends["next"]])
        ends["row"] = simple(p, [*inside, ends["next"]])
        following = [ends["next"].value, ends["other"].value]
        if conditional:
            ends["going"] = is_positive(p, ends["next"], -1.0)
            following.insert(0, ends["going"].value)
        return following, [ends["row"].value]

    wanted = regions.Loop(
        [*([start.value] if conditional else []), first.value, second.value],
        [p.rows.value],
        LENGTH,
        trip=p.number.value if kind == "trip" else None,
        conditional=conditional,
        reversed_scanned=[0] if backward else [],
        reversed_stacked=[0] if backward else [],
    )
    last, (stacked,) = regions.loop(build, wanted, step)
    result, key = last[-2], p.fresh()
    if kind == "static":
        total = build.reshape(build.reduce(stacked, "sum", (0,)), p.shape)
        result = build.add(result, total)

    def evaluate(env: dict[int, Array]) -> Array:
        steps = min(LENGTH, int(p.number.eval(env))) if kind == "trip" else LENGTH
        one, two, total = first.eval(env), second.eval(env), np.zeros(p.shape, np.float32)
        going = bool(start.eval(env)) if conditional else True
        for number in range(steps):
            if not going:
                break
            place = LENGTH - 1 - number if backward else number
            inner = {**env, a: one, b: two, x: p.rows.eval(env)[place]}
            total = total + ends["row"].eval(inner)
            going = bool(ends["going"].eval(inner)) if conditional else True
            one, two = ends["next"].eval(inner), ends["other"].eval(inner)
        return one + total if kind == "static" else one

    return Pair(result, memo(key, evaluate))


def body(p: Program, values: list[Pair], depth: int) -> Pair:
    """Some ops; the last value."""
    known = list(values)
    for _ in range(int(p.rng.integers(1, 4))):
        kind = p.rng.random()
        if depth > 0 and kind < 0.35:
            known.append(loop(p, known, depth))
        elif depth > 0 and kind < 0.55:
            known.append(branch(p, known, depth))
        else:
            known.append(simple(p, known))
    return known[-1]


def random_program(
    seed: int, depth: int = 2, shape: tuple[int, int] = (2, 5)
) -> tuple[ModuleOp, ConstantStore, list[Array], Array]:
    """A module of one function, its constants, inputs for it, and the result by NumPy."""
    rng = np.random.default_rng(seed)
    types = [tensor(shape, "f32"), tensor((LENGTH, *shape), "f32"), tensor((), "i64")]
    block, constants = Block(arg_types=types), ConstantStore()
    arrays = [
        rng.normal(size=shape).astype(np.float32),
        rng.normal(size=(LENGTH, *shape)).astype(np.float32),
        np.asarray(rng.integers(0, LENGTH + 2), np.int64),
    ]
    x, rows, number = (Pair(value, lambda env, key=key: env[key]) for key, value in enumerate(block.args))
    program = Program(rng, GraphBuilder(block, constants), [x], rows, number, shape)
    start = loop(program, [x], depth)
    result = body(program, [x, start], depth)
    block.add_op(func.ReturnOp(result.value))
    main = func.FuncOp("main", FunctionType.from_lists(types, [result.value.type]), Region(block))
    main.attributes["npucc.inputs"] = ArrayAttr([StringAttr(name) for name in ("x", "rows", "number")])
    main.attributes["npucc.outputs"] = ArrayAttr([StringAttr("y")])
    return ModuleOp([main]), constants, arrays, result.eval(dict(enumerate(arrays)))
