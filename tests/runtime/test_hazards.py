"""The hazard checker: against exhaustive interleavings, and one test per kind of hazard."""

from __future__ import annotations

import dataclasses
import random

import pytest
from handmade import Builder, edge, matmul_program
from interleavings import Machine, conflict, racing_pairs, random_values
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import (
    AccMode,
    DmaCopy,
    DmaFill,
    Engine,
    Instruction,
    MxGemm,
    OutStore,
    QSync,
    SFence,
    SLd,
    SLi,
    SSt,
    VMap,
)
from npuisa.program import Increment, Program, RegionKind
from npusim.hazards import Hazard, HazardKind, check_hazards, require_no_hazards

TARGET = edge()
ENGINES = (Engine.DMA0, Engine.DMA1, Engine.MX, Engine.VX)


def races(program: Program) -> list[Hazard]:
    return [hazard for hazard in check_hazards(program, TARGET) if hazard.kind is HazardKind.RACE]


def positions(hazards: list[Hazard]) -> set[tuple[int, int]]:
    return {(hazard.parties[0].index, hazard.parties[1].index) for hazard in hazards}


# --- random small programs --------------------------------------------------------------------------------


def random_accesses(b: Builder, rng: random.Random, engine: Engine, **header: tuple[int, ...]) -> Instruction:
    """A copy between small views of 16 bytes; half of the views are strided."""
    size = rng.choice((1, 2, 2, 3, 4, 4))

    def view():
        stride = rng.choice((1, 1, 2, 3))
        reach = (size - 1) * stride + 1
        return b.view(Space.SRAM, (size,), rng.randrange(17 - reach), "u8", strides=(stride,))

    if engine is Engine.SEQ:
        element = b.view(Space.SRAM, (), rng.randrange(16), "u8")
        return SLd(rd=1, src=element) if rng.random() < 0.5 else SSt(dst=element, ra=1)
    if engine is Engine.VX:
        return VMap(dst=view(), kernel=0, s0=view(), **header)
    if engine is Engine.MX:
        return QSync(unit=engine, **header)
    return DmaCopy(unit=engine, dst=view(), src=view(), **header)


def random_program(seed: int, *, size: int, shared: bool, scalars: float = 0.0) -> Program:
    """Legal in program order, mostly racy; `scalars`: the share of the sequencer's own loads and stores.

    shared=False: a semaphore per ordered pair of engines. shared=True: few semaphores, posted and awaited by
    anybody, some preset.
    """
    rng = random.Random(seed)
    b = Builder()
    if shared:
        names = {name: b.sem(name, rng.choice([0, 0, 1, 2])) for name in ("s", "t")}
        pool = {(p, q): names[rng.choice("st")] for p in ENGINES for q in ENGINES}
    else:
        pool = {(p, q): b.sem(f"{p.name}_{q.name}", rng.choice([0, 0, 0, 1])) for p in ENGINES for q in ENGINES}
    credit = list(b.initial)
    for _ in range(size):
        if scalars and rng.random() < scalars:
            if rng.random() < 0.4:
                b.emit(SFence())
            b.emit(random_accesses(b, rng, Engine.SEQ))
            continue
        engine = rng.choice(ENGINES)
        ready = [s for s in dict.fromkeys(pool[p, engine] for p in ENGINES if p is not engine) if credit[s]]
        waits = tuple(rng.sample(ready, min(len(ready), rng.choice([0, 1, 1, 2]))))
        others = list(dict.fromkeys(pool[engine, q] for q in ENGINES if q is not engine))
        posts = tuple(rng.sample(others, min(len(others), rng.choice([0, 1, 1, 2]))))
        for semaphore in waits:
            credit[semaphore] -= 1
        for semaphore in posts:
            credit[semaphore] += 1
        b.emit(random_accesses(b, rng, engine, waits=waits, posts=posts))
        if rng.random() < 0.06:
            b.emit(SFence())
    return b.program()


@pytest.mark.parametrize("block", range(8))
def test_exact_for_one_poster_and_one_waiter(block: int):
    """Every race that some order shows is reported for its later instruction, and no other."""
    found = 0
    for seed in range(block * 25, block * 25 + 25):
        program = random_program(seed, size=8, shared=False)
        truth = racing_pairs(Machine(program))
        reported = positions(races(program))
        assert reported <= truth, seed
        assert {second for _, second in reported} == {second for _, second in truth}, seed
        found += bool(truth)
    assert found > 5


@pytest.mark.parametrize("block", range(6))
def test_exact_for_loads_and_stores_of_the_sequencer(block: int):
    """As above; the sequencer's own accesses race with engines only where no fence stands before them."""
    found = scalar = 0
    for seed in range(block * 25, block * 25 + 25):
        program = random_program(2000 + seed, size=9, shared=False, scalars=0.4)
        truth = racing_pairs(Machine(program))
        reported = positions(races(program))
        assert reported <= truth, seed
        assert {second for _, second in reported} == {second for _, second in truth}, seed
        found += bool(truth)
        scalar += any(program.instructions[second].engine is Engine.SEQ for _, second in truth)
    assert found > 5 and scalar > 3


@pytest.mark.parametrize("block", range(4))
def test_no_misses_with_shared_semaphores(block: int):
    """Several posters or waiters: nothing that can happen is missed; false alarms stay rare."""
    alarms = silent = 0
    for seed in range(block * 25, block * 25 + 25):
        program = random_program(seed, size=8, shared=True)
        truth = {second for _, second in racing_pairs(Machine(program))}
        reported = {second for _, second in positions(races(program))}
        assert truth <= reported, seed
        alarms += len(reported - truth)
        silent += 8 - len(truth)
    assert alarms <= 0.1 * silent


@pytest.mark.parametrize("shared", [False, True])
def test_values_differ_only_where_a_race_is_reported(shared: bool):
    differing = 0
    for seed in range(60):
        program = random_program(1000 + seed, size=9, shared=shared)
        machine = Machine(program)
        expected = random_values(machine, None)
        rng = random.Random(seed)
        differs = any(random_values(machine, rng) != expected for _ in range(25))
        contended = any(h.kind is HazardKind.CONTENDED for h in check_hazards(program, TARGET))
        assert not differs or races(program) or contended, seed
        differing += differs
    assert differing > 10


def synchronised(seed: int, size: int = 7) -> Builder:
    """Every conflicting pair on different engines is ordered by a semaphore of its own."""
    rng = random.Random(seed)
    b = Builder()
    for _ in range(size):
        b.emit(random_accesses(b, rng, rng.choice(ENGINES)))
    steps = Machine(b.program())
    flat = {step.position: step for queue in steps.queues for step in queue}
    engine_of = {step.position: engine for engine, queue in zip(steps.engines, steps.queues) for step in queue}
    code: list[Instruction] = []
    sems: dict[tuple[int, int], int] = {}
    for position, instruction in enumerate(b.code):
        mine = engine_of[position]
        earlier = [p for p in flat if p < position and engine_of[p] is not mine and conflict(flat[p], flat[position])]
        later = [p for p in flat if p > position and engine_of[p] is not mine and conflict(flat[position], flat[p])]
        sems |= {(position, p): b.sem(f"{position}_{p}") for p in later}
        code += [QSync(unit=mine, waits=(sems[p, position],)) for p in earlier]
        code.append(instruction)
        code += [QSync(unit=mine, posts=(sems[position, p],)) for p in later]
    b.code = code
    return b


@pytest.mark.parametrize("block", range(4))
def test_removing_a_wait_is_found_exactly(block: int):
    """Fully synchronised programs pass; drop any one wait and the checker agrees with exhaustion."""
    broken = 0
    for seed in range(block * 8, block * 8 + 8):
        b = synchronised(seed)
        assert not races(b.program()), seed
        whole = b.code
        syncs = [i for i, instruction in enumerate(whole) if isinstance(instruction, QSync) and instruction.waits]
        for place in syncs[:4]:
            b.code = whole[:place] + whole[place + 1 :]
            truth = racing_pairs(Machine(b.program()))
            reported = positions(races(b.program()))
            assert reported <= truth and bool(reported) == bool(truth), (seed, place)
            broken += bool(truth)
    assert broken


# --- loops ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_circular_buffers_are_safe_and_each_wait_is_needed(depth: int):
    program = matmul_program(16, 64, 64 * 12, 64, depth)
    assert check_hazards(program, TARGET) == []
    for name in program.semaphore_names:
        semaphore = program.semaphore_names.index(name)
        weak = dataclasses.replace(program, instructions=[without(i, semaphore) for i in program.instructions])
        assert races(weak), name


def without(instruction: Instruction, semaphore: int) -> Instruction:
    waits = tuple(wait for wait in instruction.waits if wait != semaphore)
    return dataclasses.replace(instruction, waits=waits)


@pytest.mark.parametrize("name", ["w_free", "acc_free", "y_free"])
def test_one_credit_too_many_is_found(name: str):
    program = matmul_program(16, 64, 64 * 12, 64, 2)
    program.semaphores[program.semaphore_names.index(name)] += 1
    assert races(program)


def test_long_loops_are_fast_enough_to_check_always():
    program = matmul_program(16, 64, 64 * 250, 64, 2)
    assert check_hazards(program, TARGET) == []


def test_interleaved_views_do_not_clash():
    """DMA0 and DMA1 write even and odd columns; VX reads the even ones after DMA0 only."""
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    full = b.sem("full")
    src = b.view(Space.DRAM, (16, 8), 0)
    even = b.view(Space.SRAM, (16, 8), 0, strides=(16, 2))
    odd = b.view(Space.SRAM, (16, 8), 2, strides=(16, 2))
    b.emit(DmaCopy(unit=Engine.DMA0, dst=even, src=src, posts=(full,)))
    b.emit(DmaCopy(unit=Engine.DMA1, dst=odd, src=src))
    out = b.view(Space.SRAM, (16, 8), 4096)
    b.emit(VMap(dst=out, kernel=0, s0=even, waits=(full,)))
    assert check_hazards(b.program(), TARGET) == []
    b.emit(VMap(dst=out, kernel=0, s0=odd))
    (race,) = check_hazards(b.program(), TARGET)
    assert [party.engine for party in race.parties] == ["dma1", "vx"]
    assert race.space is Space.SRAM and "node0" in str(race)


def test_several_posters_that_all_must_have_posted():
    """Two channels post one semaphore once each; a wait for both credits orders after both."""
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    full = b.sem("full")
    for number, engine in enumerate((Engine.DMA0, Engine.DMA1)):
        src, dst = b.view(Space.DRAM, (64,), 0), b.view(Space.SRAM, (64,), 128 * number)
        b.emit(DmaCopy(unit=engine, dst=dst, src=src, posts=(full,)))
    b.emit(QSync(unit=Engine.VX, waits=(full,), count=2))
    b.emit(VMap(dst=b.view(Space.SRAM, (128,), 1024), kernel=0, s0=b.view(Space.SRAM, (128,), 0)))
    assert check_hazards(b.program(), TARGET) == []
    b.code[2] = QSync(unit=Engine.VX, waits=(full,))
    assert len(races(b.program())) == 2


def test_a_fence_orders_everything():
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    src, x, y = b.view(Space.DRAM, (64,), 0), b.view(Space.SRAM, (64,), 0), b.view(Space.SRAM, (64,), 128)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=x, src=src))
    fence = b.emit(SFence())
    b.emit(VMap(dst=y, kernel=0, s0=x))
    assert check_hazards(b.program(), TARGET) == []
    del b.code[fence]
    assert races(b.program())


# --- other kinds ------------------------------------------------------------------------------------------


def only(program: Program) -> Hazard:
    (hazard,) = check_hazards(program, TARGET)
    return hazard


def test_uninitialised_sram():
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    src, x = b.view(Space.DRAM, (63,), 0), b.view(Space.SRAM, (63,), 0)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=x, src=src))
    b.emit(SFence())
    b.emit(VMap(dst=b.view(Space.SRAM, (64,), 128), kernel=0, s0=b.view(Space.SRAM, (64,), 0)))
    hazard = only(b.program())
    assert hazard.kind is HazardKind.UNINITIALISED and "2 bytes" in hazard.message


def accumulate(mode: AccMode, first: int) -> Program:
    """A loop that accumulates twice; r1 is `first`, then 1 more each iteration."""
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    src, a = b.view(Space.DRAM, (16, 16), 0), b.view(Space.SRAM, (16, 16), 0)
    acc, y = b.view(Space.ACC, (16, 16), 0, "f32"), b.view(Space.SRAM, (16, 16), 1024)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=a, src=src))
    b.emit(SFence())
    with b.loop(2, Increment(1, 1)):
        b.emit(MxGemm(dst=acc, a=a, b=a, mode=mode, pred=1))
    b.emit(SFence())
    b.emit(OutStore(dst=y, kernel=0, acc=acc))
    return b.program()


def test_accumulator_misuse():
    assert check_hazards(accumulate(AccMode.ADD_IF, 0), TARGET) == []
    hazard = only(accumulate(AccMode.ADD, 0))
    assert hazard.kind is HazardKind.UNINITIALISED and "accumulates onto 1024 bytes" in hazard.message


@pytest.mark.parametrize(("second", "kind"), [("i32", None), ("f32", HazardKind.RETYPED)])
@pytest.mark.parametrize("mixed", [False, True])
def test_type_of_accumulators(mixed: bool, second: str, kind: HazardKind | None):
    """A sum of integers is read as integers, also where another part of the accumulators holds floats."""
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    a, f = b.view(Space.SRAM, (4, 4), 0, "i8"), b.view(Space.SRAM, (4, 4), 64, "f16")
    b.emit(DmaFill(unit=Engine.DMA0, dst=a))
    b.emit(DmaFill(unit=Engine.DMA0, dst=f))
    b.emit(SFence())
    if mixed:
        b.emit(MxGemm(dst=b.view(Space.ACC, (4, 4), 64, "f32"), a=f, b=f))
    b.emit(MxGemm(dst=b.view(Space.ACC, (4, 4), 0, "i32"), a=a, b=a))
    b.emit(SFence())
    read = b.view(Space.ACC, (4, 4), 0, second)
    b.emit(OutStore(dst=b.view(Space.SRAM, (4, 4), 1024), kernel=0, acc=read))
    found = check_hazards(b.program(), TARGET)
    assert [hazard.kind for hazard in found] == ([] if kind is None else [kind])


def test_addresses_are_aligned():
    b = Builder()
    b.emit(SLi(rd=1, value=1))
    b.emit(DmaFill(unit=Engine.DMA0, dst=b.view(Space.SRAM, (4,), 0, "f32", reg=1)))
    assert only(b.program()).kind is HazardKind.MISALIGNED


def test_reading_an_accumulator_that_nothing_wrote():
    b = Builder()
    b.emit(OutStore(dst=b.view(Space.SRAM, (16,), 0), kernel=0, acc=b.view(Space.ACC, (16,), 0, "f32")))
    assert only(b.program()).kind is HazardKind.UNINITIALISED


@pytest.mark.parametrize("space, base", [(Space.SRAM, (1 << 20) - 64), (Space.ACC, 131072), (Space.DRAM, 4000)])
def test_out_of_bounds(space: Space, base: int):
    b = Builder()
    b.region("out", RegionKind.OUTPUT, 0, 4096)
    if space is Space.ACC:
        b.emit(
            MxGemm(
                dst=b.view(space, (1, 1), base, "f32"), a=b.view(Space.SRAM, (1, 0), 0), b=b.view(Space.SRAM, (0, 1), 0)
            )
        )
    else:
        unit = Engine.DMA0
        b.emit(DmaFill(unit=unit, dst=b.view(space, (64,), base)))
    assert only(b.program()).kind is HazardKind.OUT_OF_BOUNDS


def test_writing_a_constant():
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    b.region("w", RegionKind.CONSTANT, 4096, 4096)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=b.view(Space.DRAM, (64,), 4096), src=b.view(Space.DRAM, (64,), 0)))
    hazard = only(b.program())
    assert hazard.kind is HazardKind.READ_ONLY and "region w" in hazard.message


def test_overwriting_its_own_source():
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 4096)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=b.view(Space.SRAM, (128,), 0), src=b.view(Space.DRAM, (128,), 0)))
    b.emit(SFence())
    x = b.view(Space.SRAM, (64,), 0)
    b.emit(VMap(dst=x, kernel=0, s0=x))
    assert check_hazards(b.program(), TARGET) == []
    b.emit(VMap(dst=b.view(Space.SRAM, (64,), 2), kernel=0, s0=x))
    assert only(b.program()).kind is HazardKind.SELF_OVERLAP


def test_program_order_blocks():
    b = Builder()
    never = b.sem("never")
    b.emit(QSync(unit=Engine.VX, waits=(never,)))
    b.emit(QSync(unit=Engine.MX, posts=(never,)))
    hazard = only(b.program())
    assert hazard.kind is HazardKind.BLOCKED and "never" in hazard.message


def test_competing_waiters():
    b = Builder()
    full = b.sem("full")
    b.emit(QSync(unit=Engine.DMA0, posts=(full,), count=2))
    b.emit(QSync(unit=Engine.MX, waits=(full,)))
    b.emit(QSync(unit=Engine.VX, waits=(full,)))
    hazard = only(b.program())
    assert hazard.kind is HazardKind.CONTENDED
    assert [party.engine for party in hazard.parties] == ["mx", "vx"]


def test_semaphore_overflow():
    b = Builder()
    full = b.sem("full")
    with b.loop(300):
        b.emit(QSync(unit=Engine.VX, posts=(full,), count=255))
    assert only(b.program()).kind is HazardKind.OVERFLOW


def test_semaphore_overflow_by_waits_that_stand_in_a_queue():
    """Program order stays at 65,000; a full queue of 16 late waits of 255 adds up to 4,335."""
    b = Builder()
    full = b.sem("full", 65000)
    with b.loop(50):
        b.emit(QSync(unit=Engine.VX, posts=(full,), count=255))
        b.emit(QSync(unit=Engine.MX, waits=(full,), count=255))
    late = b.program()
    assert only(late).kind is HazardKind.OVERFLOW
    shallow = edge(sequencer={"queue_depth": 1})
    late.semaphores[0] = 65535 - 255 - 2 * 255
    assert not check_hazards(late, shallow)
    late.semaphores[0] += 1
    assert check_hazards(late, shallow)


def test_the_error_lists_every_hazard():
    program = matmul_program(16, 64, 64 * 4, 64, 2)
    require_no_hazards(program, TARGET)
    for name in ("w_free", "y_free"):
        semaphore = program.semaphore_names.index(name)
        program = dataclasses.replace(program, instructions=[without(i, semaphore) for i in program.instructions])
    with pytest.raises(NpuError, match="NPU-E0430") as error:
        require_no_hazards(program, TARGET)
    assert len(error.value.problems) == 2


def test_forgetting_completed_accesses_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    """Pruning after every instruction and never gives the same races."""
    found = 0
    for seed in range(40):
        program = random_program(5000 + seed, size=60, shared=False)
        monkeypatch.setattr("npusim.hazards._PRUNE_EVERY", 1)
        eager = {second for _, second in positions(races(program))}
        monkeypatch.setattr("npusim.hazards._PRUNE_EVERY", 1 << 30)
        never = {second for _, second in positions(races(program))}
        assert eager == never, seed
        found += bool(never)
    assert found
