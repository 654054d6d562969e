"""The cycle model: overlap, sharing, causes, bounds; against recurrences written independently."""

from __future__ import annotations

import itertools
import random
from math import ceil

import pytest
from handmade import Builder, edge, matmul_program
from npuisa.descriptor import Space
from npuisa.errors import NpuError
from npuisa.instructions import (
    AluFn,
    BranchFn,
    DmaCopy,
    Engine,
    MxGemm,
    Operand,
    QSync,
    SAlu,
    SBr,
    SFence,
    SHalt,
    SLi,
    VMap,
)
from npuisa.program import Program, RegionKind
from npuisa.target import Target
from npusim.bandwidth import Demand, fair_rates, share
from npusim.bounds import bound_cycles, bounds
from npusim.costs import instruction_cost
from npusim.sequence import decode, dynamic_stream
from npusim.timing import simulate_timing
from npusim.timing_result import TimingResult, round_to_total

TARGET = edge()
INFINITE = {"dram": {"bandwidth_gbs": 1e9, "latency_cycles": 100}, "sram": {"bank_bytes": 1 << 20}}


def check_account(result: TimingResult) -> None:
    """Every engine's causes are whole, positive and sum to the total; busy is part of them."""
    for name, engine in result.engines.items():
        assert sum(engine.causes.values()) == result.cycles, name
        assert all(cycles > 0 for cycles in engine.causes.values()), name
        assert 0 <= engine.busy <= result.cycles
    assert (
        sum(result.lost_cycles().values()) + result.engines[result.critical_engine].causes.get("compute", 0)
        == result.cycles
    )


# --- a loop as compiled -----------------------------------------------------------------------------------


def test_double_buffered_matmul_is_bound_by_the_matrix_engine():
    result = simulate_timing(matmul_program(), TARGET)
    check_account(result)
    assert result.critical_engine == "mx"
    mx = result.engines["mx"].causes
    # Once the first weights are there the array streams without a gap: one fill, one drain.
    assert mx["compute"] == ceil(197 * 768 * 3072 / 1024) + 1
    assert mx["fill_drain"] == 32 + 62
    assert "wait_dma1" not in mx and "wait_out" not in mx
    # x and the first weight tile share the DRAM: x needs 302,592 bytes, in all 400,896 are under way with it.
    assert mx["wait_dma0"] == pytest.approx((302592 + 196608) / 32 + 100, abs=3)
    assert result.dram_written == 197 * 3072 * 2
    assert result.dram_read == 197 * 768 * 2 + 768 * 3072 * 2


def test_single_buffers_serialise():
    double, single = (simulate_timing(matmul_program(depth=depth), TARGET).cycles for depth in (2, 1))
    # Each further tile waits for its weights (latency, transfer, the result's store beside it), fills and drains;
    # against that, the second weight tile no longer delays x.
    assert single - double == 47 * (100 + 3072 + 788 + 32 + 62) - 3072


@pytest.mark.parametrize("m, k, n", [(16, 64, 640), (64, 256, 512), (197, 768, 256)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_cycles_are_never_below_the_bound(m: int, k: int, n: int, depth: int):
    program = matmul_program(m, k, n, 64, depth)
    result = simulate_timing(program, TARGET)
    check_account(result)
    assert result.cycles >= bound_cycles(program, TARGET)


def test_bounds_count_macs_and_each_byte_once():
    program = matmul_program(64, 256, 512)
    found = bounds(program, TARGET)
    assert found.macs == 64 * 256 * 512
    assert found.mac_cycles == ceil(64 * 256 * 512 / 1024)
    assert found.compulsory_bytes == 2 * (64 * 256 + 256 * 512 + 64 * 512)
    assert found.dram_cycles == ceil(found.compulsory_bytes / 32)


def test_deterministic():
    first, second = (simulate_timing(matmul_program(), TARGET, timeline=True) for _ in range(2))
    assert first == second and first.timeline == second.timeline


def test_groups_share_the_total():
    b = Builder()
    for group in range(3):
        b.group = group
        a, c = b.view(Space.SRAM, (640,), 0), b.view(Space.SRAM, (640,), 4096)
        b.emit(VMap(dst=c, kernel=0, s0=a))
        b.emit(VMap(dst=c, kernel=0, s0=a))
    result = simulate_timing(b.program(), TARGET)
    assert [group.name for group in result.groups] == ["group0", "group1", "group2"]
    assert sum(group.cycles for group in result.groups) == result.cycles
    assert result.groups[1].cycles == 2 * (10 + 8)
    assert result.groups[1].busy == {"vx": 2 * (10 + 8)} and result.groups[1].critical_engine == "vx"
    assert [item.executions for item in result.instructions] == [1] * 6


# --- sequencer --------------------------------------------------------------------------------------------


def test_scalar_instructions_cost_one_and_taken_branches_four():
    b = Builder()
    b.emit(SLi(rd=1, value=5))
    start = b.emit(SAlu(fn=AluFn.SUB, rd=1, ra=1, value=1))
    b.emit(SBr(fn=BranchFn.NE, ra=1, to=start))
    b.emit(SHalt())
    result = simulate_timing(b.program(), TARGET)
    assert result.cycles == 1 + 5 + 5 + 4 * 3 + 1
    assert result.executed == 1 + 5 + 5 + 1
    check_account(result)


def test_hardware_loops_cost_their_issue():
    b = Builder()
    with b.loop(100):
        b.emit(QSync(unit=Engine.VX))
    assert simulate_timing(b.program(), TARGET).cycles == 1 + 101


def test_a_full_queue_stalls_the_sequencer():
    """Behind 3 long instructions in a queue of 2 another engine gets its work late."""
    b = Builder()
    a, c = b.view(Space.SRAM, (6400,), 0), b.view(Space.SRAM, (6400,), 1 << 16)
    for _ in range(4):
        b.emit(VMap(dst=c, kernel=0, s0=a))
    b.emit(QSync(unit=Engine.MX))
    result = simulate_timing(b.program(), edge(sequencer={"queue_depth": 2}), timeline=True)
    starts = {entry.engine: entry.start for entry in reversed(result.timeline)}
    assert starts[Engine.MX] == (1 + 108) + 1 + 1  # the second leaves the queue, the fourth enters, then ours
    assert simulate_timing(b.program(), TARGET, timeline=True).timeline[0].engine is Engine.MX
    assert result.engines["seq"].causes["queue_full"] == 109 - 3
    assert result.engines["mx"].causes["queue_full"] == 109 - 3 and result.engines["mx"].causes["issue"] == 5
    check_account(result)


def test_a_fence_waits_for_completion():
    b = Builder()
    acc, a, w = b.view(Space.ACC, (64, 32), 0, "f32"), b.view(Space.SRAM, (64, 32), 0), b.view(Space.SRAM, (32, 32), 0)
    b.emit(MxGemm(dst=acc, a=a, b=w))
    b.emit(SFence())
    b.emit(QSync(unit=Engine.VX))
    result = simulate_timing(b.program(), TARGET, timeline=True)
    assert result.timeline[1].start == 1 + (32 + 64 + 62) + 1
    check_account(result)


# --- sharing ----------------------------------------------------------------------------------------------


def copies(engines: list[Engine], size: int = 6400, posts: tuple[int, ...] = ()) -> Builder:
    b = Builder()
    for number, engine in enumerate(engines):
        src, dst = b.view(Space.DRAM, (size,), number * size, "u8"), b.view(Space.SRAM, (size,), number * size, "u8")
        b.emit(DmaCopy(unit=engine, dst=dst, src=src, posts=posts))
    return b


def test_two_channels_share_the_dram():
    alone = simulate_timing(copies([Engine.DMA0]).program(), TARGET)
    both = simulate_timing(copies([Engine.DMA0, Engine.DMA1]).program(), TARGET)
    assert alone.cycles == 1 + 200 + 100
    assert both.cycles == 1 + 400 + 100
    assert both.engines["dma0"].causes["dram_bandwidth"] == 199
    check_account(both)


def test_one_channel_hides_the_latency_of_the_next_load():
    result = simulate_timing(copies([Engine.DMA0] * 3).program(), TARGET)
    assert result.cycles == 1 + 3 * 200 + 100


def test_a_change_of_direction_drains_the_channel():
    b = copies([Engine.DMA0])
    b.emit(DmaCopy(unit=Engine.DMA0, dst=b.view(Space.DRAM, (3200,), 65536), src=b.view(Space.SRAM, (3200,), 0)))
    assert simulate_timing(b.program(), TARGET).cycles == 1 + 300 + 300


def test_channels_bound_by_latency_add_up():
    slow = edge(dram={"latency_cycles": 1000})  # one channel reaches 3.2768 of 32 bytes per cycle
    one = simulate_timing(copies([Engine.DMA0]).program(), slow).cycles
    four = simulate_timing(copies([Engine.DMA0, Engine.DMA1, Engine.DMA2, Engine.DMA3]).program(), slow).cycles
    assert one == 1 + ceil(6400 / 3.2768 + 1000)
    assert four <= one + 4


def test_fair_rates():
    assert fair_rates({0: 10.0, 1: 10.0, 2: 2.0}, 12.0) == {0: 5.0, 1: 5.0, 2: 2.0}
    assert fair_rates({0: 3.0, 1: 4.0}, 12.0) == {0: 3.0, 1: 4.0}
    reads = share({0: Demand(10, 0), 1: Demand(10, 0), 2: Demand(4, 0, writes=True)}, 32, 1, (10, 3))
    assert [reads[key].speed for key in range(3)] == [0.5, 0.5, 0.75]
    shares = share({0: Demand(0, 300), 1: Demand(32, 32), 2: Demand(0, 0)}, 32, 166)
    assert shares[0].speed == shares[1].speed == 0.5 and shares[2].speed == 1.0
    assert shares[1].dram_speed == 1.0


def test_engines_share_the_sram():
    """VX asks for 64 lines per cycle of 36 banks: the excess is its own, not a matter of sharing."""
    narrow = edge(sram={"banks": 36, "bank_bytes": 4}, vector={"lanes": 64})
    b = Builder()
    a, c = b.view(Space.SRAM, (64000,), 0), b.view(Space.SRAM, (64000,), 1 << 17)
    b.emit(VMap(dst=c, kernel=0, s0=a))
    result = simulate_timing(b.program(), narrow)
    assert result.engines["vx"].causes["compute"] == 1000
    cost = instruction_cost(b.code[0], b.program(), narrow)
    assert cost.sram_bytes == 64000 * 4 and cost.sram_lines == 64000
    assert result.engines["vx"].busy == pytest.approx(64000 / 36 + 8, abs=1)
    assert result.engines["vx"].causes["bank_conflict"] == pytest.approx(64000 / 36 - 1000, abs=1)
    assert "sram_bandwidth" not in result.engines["vx"].causes
    check_account(result)


@pytest.mark.parametrize("stride, slower", [(1, False), (16, True)])
def test_strided_accesses_of_one_engine_slow_another(stride: int, slower: bool):
    """64 lanes 16 elements apart occupy all 16 banks for 4 cycles, with an eighth of the lines' bytes in use."""
    b = Builder()
    n = 64 * 256
    near, far = b.view(Space.SRAM, (n,), 0), b.view(Space.SRAM, (n,), 1 << 17, strides=(stride,))
    b.emit(VMap(dst=near, kernel=0, s0=far))
    acc, a = b.view(Space.ACC, (512, 32), 0, "f32"), b.view(Space.SRAM, (512, 128), 0)
    b.emit(MxGemm(dst=acc, a=a, b=b.view(Space.SRAM, (128, 32), 0)))
    result = simulate_timing(b.program(), TARGET)
    assert ("sram_bandwidth" in result.engines["mx"].causes) == slower
    check_account(result)


def test_shared_bandwidth_conserves_bytes():
    result = simulate_timing(matmul_program(64, 256, 2048), TARGET, timeline=True)
    for entry in result.timeline:
        steps = [*entry.dram_rates, (entry.free, 0.0)]
        moved = sum(rate * (after - cycle) for (cycle, rate), (after, _) in itertools.pairwise(steps))
        assert moved == pytest.approx(entry.dram_read + entry.dram_written)


# --- semaphores -------------------------------------------------------------------------------------------


def test_a_wait_is_blamed_on_the_poster():
    b = copies([Engine.DMA2], posts=(0,))
    b.sem("full")
    b.emit(QSync(unit=Engine.VX, waits=(0,)))
    result = simulate_timing(b.program(), TARGET)
    assert result.engines["vx"].causes["wait_dma2"] == 301 and "issue" not in result.engines["vx"].causes


@pytest.mark.parametrize("depth", [1, 2, 64])
def test_a_full_queue_is_blamed_only_where_a_deeper_one_would_help(depth: int):
    """MX's gemm stands behind four vector instructions, but waits for the last of them anyway."""
    b = Builder()
    done = b.sem("done")
    a, c = b.view(Space.SRAM, (6400,), 0), b.view(Space.SRAM, (6400,), 1 << 16)
    for number in range(4):
        b.emit(VMap(dst=c, kernel=0, s0=a, posts=(done,) if number == 3 else ()))
    b.emit(QSync(unit=Engine.MX, waits=(done,)))
    result = simulate_timing(b.program(), edge(sequencer={"queue_depth": depth}))
    assert result.cycles == 1 + 4 * 108 + 1
    assert result.engines["mx"].causes["wait_vx"] == 1 + 4 * 108
    assert "queue_full" not in result.engines["mx"].causes
    check_account(result)


@pytest.mark.parametrize("early", [0, 20, 1000])
def test_a_load_is_hidden_only_from_when_its_operand_is_there(early: int):
    """Of two gemms back to back the second waits for weights that arrive `early` cycles before the first ends."""
    b = Builder()
    there = b.sem("there")
    acc, a = b.view(Space.ACC, (2048, 32), 0, "f32"), b.view(Space.SRAM, (2048, 32), 0)
    w, late = b.view(Space.SRAM, (32, 32), 1 << 18), b.view(Space.SRAM, (32, 32), 1 << 19)
    end = 1 + 32 + 2048  # of the first gemm
    loaded = b.view(Space.DRAM, (32 * (end - early - 103 - 64),), 0, "u8")
    other = b.view(Space.SRAM, (32 * (end - early - 103 - 64),), 1 << 19, "u8")
    b.emit(MxGemm(dst=acc, a=a, b=w))
    b.emit(DmaCopy(unit=Engine.DMA1, dst=other, src=loaded))
    b.emit(DmaCopy(unit=Engine.DMA1, dst=late, src=b.view(Space.DRAM, (32, 32), 0), posts=(there,)))
    b.emit(MxGemm(dst=acc, a=a, b=late, waits=(there,)))
    timeline = simulate_timing(b.program(), TARGET, timeline=True).timeline
    first, second = (entry for entry in timeline if entry.engine is Engine.MX)
    end = first.free
    arrival = next(entry.end for entry in timeline if entry.index == 2)
    assert first.free == second.start == end and arrival == pytest.approx(end - early, abs=2)
    assert second.free - second.start == pytest.approx(max(32 - (end - arrival), 0) + 2048)


def test_waiters_are_served_in_order():
    """VX waits first, then MX; one post at a time lets them go in that order."""
    b = Builder()
    full = b.sem("full")
    b.emit(QSync(unit=Engine.VX, waits=(full,)))
    b.emit(QSync(unit=Engine.MX, waits=(full,)))
    a, c = b.view(Space.SRAM, (640,), 0), b.view(Space.SRAM, (640,), 4096)
    for _ in range(2):
        b.emit(DmaCopy(unit=Engine.DMA0, dst=c, src=a, posts=(full,)))
    timeline = simulate_timing(b.program(), TARGET, timeline=True).timeline
    starts = {entry.engine: entry.start for entry in timeline}
    assert starts[Engine.VX] == 3 + 40 and starts[Engine.MX] == 3 + 80


def test_a_sync_posts_after_all_before_it_in_its_queue():
    """The drain of the gemm delays the post of the q.sync behind it."""
    b = Builder()
    done = b.sem("done")
    acc, a, w = b.view(Space.ACC, (64, 32), 0, "f32"), b.view(Space.SRAM, (64, 32), 0), b.view(Space.SRAM, (32, 32), 0)
    b.emit(MxGemm(dst=acc, a=a, b=w))
    b.emit(QSync(unit=Engine.MX, posts=(done, done), count=2))
    b.emit(QSync(unit=Engine.VX, waits=(done,), count=4))
    result = simulate_timing(b.program(), TARGET, timeline=True)
    assert result.timeline[-1].engine is Engine.VX
    assert result.timeline[-1].start == 1 + 32 + 64 + 62


def test_deadlock_names_the_semaphore():
    b = Builder()
    first, second = b.sem("first"), b.sem("second")
    b.emit(QSync(unit=Engine.VX, waits=(first,), posts=(second,)))
    b.emit(QSync(unit=Engine.MX, waits=(second,), posts=(first,)))
    with pytest.raises(NpuError, match="NPU-E0422") as error:
        simulate_timing(b.program(), TARGET)
    assert "semaphore first" in str(error.value) and "semaphore second" in str(error.value)


def test_unsupported_instructions_are_all_listed():
    b = Builder()
    acc, a = b.view(Space.ACC, (4, 4), 0, "f32"), b.view(Space.SRAM, (4, 4), 0, "f64")
    for _ in range(2):
        b.emit(MxGemm(dst=acc, a=a, b=a))
    with pytest.raises(NpuError, match="NPU-E0421") as error:
        simulate_timing(b.program(), TARGET)
    assert [problem.where.split()[1] for problem in error.value.problems] == ["0", "1"]


# --- random programs --------------------------------------------------------------------------------------


def random_program(seed: int, size: int = 40) -> Program:
    """Queued instructions on five engines; each engine pair has a semaphore, waits follow their posts."""
    rng = random.Random(seed)
    b = Builder()
    b.region("all", RegionKind.SCRATCH, 0, 1 << 20)
    engines = [Engine.DMA0, Engine.DMA1, Engine.MX, Engine.OUT, Engine.VX]
    pairs = {(p, q): b.sem(f"{p.name}_{q.name}") for p in engines for q in engines if p is not q}
    credit = dict.fromkeys(pairs, 0)
    for _ in range(size):
        engine = rng.choice(engines)
        ready = [pair for pair, value in credit.items() if pair[1] is engine and value]
        waits = rng.sample(ready, min(len(ready), rng.randint(0, 2)))
        posts = rng.sample([pair for pair in pairs if pair[0] is engine], rng.randint(0, 2))
        for pair in waits:
            credit[pair] -= 1
        for pair in posts:
            credit[pair] += 1
        header = {"waits": tuple(pairs[p] for p in waits), "posts": tuple(pairs[p] for p in posts)}
        b.emit(random_instruction(b, rng, engine, header))
        if rng.random() < 0.05:
            b.emit(SFence())
    return b.program()


def random_instruction(b: Builder, rng: random.Random, engine: Engine, header: dict[str, tuple[int, ...]]):
    size = rng.randint(1, 4000)
    sram: Operand = b.view(Space.SRAM, (size,), 0)
    if engine in (Engine.DMA0, Engine.DMA1):
        dram = b.view(Space.DRAM, (size,), 0)
        dst, src = (sram, dram) if engine is Engine.DMA0 else (dram, sram)
        return DmaCopy(unit=engine, dst=dst, src=src, **header)
    if engine is Engine.MX:
        m, k, n = (rng.randint(1, 80) for _ in range(3))
        acc, a, w = b.view(Space.ACC, (m, n), 0, "f32"), b.view(Space.SRAM, (m, k), 0), b.view(Space.SRAM, (k, n), 0)
        return MxGemm(dst=acc, a=a, b=w, **header)
    if engine is Engine.VX:
        return VMap(dst=sram, kernel=0, s0=b.view(Space.SRAM, (size,), 1 << 19), **header)
    return QSync(unit=engine, **header)


def recurrence(program: Program, target: Target) -> tuple[list[float], float]:
    """Start times and total by a recurrence in program order, for semaphores with one poster and one waiter.

    Valid while no bandwidth is scarce: start = latest of issue, engine free, k-th post of every semaphore.
    """
    statics = decode(program)
    depth = target.sequencer.queue_depth
    clock = 0.0
    free: dict[Engine, float] = {}
    done: dict[Engine, float] = {}
    direction: dict[Engine, object] = {}
    streaming = -1.0
    started: dict[Engine, list[float]] = {engine: [] for engine in Engine}
    posts: dict[int, list[float]] = {s: [0.0] * v for s, v in enumerate(program.semaphores)}
    taken = dict.fromkeys(posts, 0)
    starts: list[float] = []
    for record in dynamic_stream(program, statics):
        instruction = statics[record[0]].instruction
        engine = instruction.engine
        if engine is Engine.SEQ:
            clock = max([clock + 1, *done.values()])
            continue
        queue = started[engine]
        if len(queue) >= depth:
            clock = max(clock, queue[-depth])
        clock += 1
        cost = instruction_cost(instruction, program, target)
        sync = isinstance(instruction, QSync)
        start = max(clock, free.get(engine, 0.0))
        if not sync and direction.get(engine, cost.traffic) is not cost.traffic:
            start = max(start, done[engine])
        ready = clock
        for semaphore in instruction.waits:
            ready = max(ready, posts[semaphore][taken[semaphore]])
            taken[semaphore] += 1
        start = max(start, ready)
        # A load that is hidden behind the instruction before cannot begin before its operands are there.
        fill = max(cost.fill - (start - ready if start <= streaming else 0.0), 0.0)
        end = start + fill + cost.occupancy
        if engine is Engine.MX and (not sync or start <= streaming):
            streaming = end
        free[engine] = end
        done[engine] = max(end + cost.latency, done.get(engine, 0.0))
        if not sync:
            direction[engine] = cost.traffic
        for semaphore in instruction.posts:
            posts[semaphore].append(done[engine])
        queue.append(start)
        starts.append(start)
    return starts, max([clock, *done.values()])


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_match_the_recurrence(seed: int):
    target = edge(**INFINITE, sequencer={"queue_depth": 1 + seed % 5})
    program = random_program(seed)
    result = simulate_timing(program, target, timeline=True)
    starts, total = recurrence(program, target)
    by_engine: dict[Engine, list[float]] = {}
    for entry in result.timeline:
        by_engine.setdefault(entry.engine, []).append(entry.start)
    queued = [instruction.engine for instruction in program.instructions if instruction.engine is not Engine.SEQ]
    expected: dict[Engine, list[float]] = {}
    for engine, start in zip(queued, starts):
        expected.setdefault(engine, []).append(start)
    assert by_engine == {engine: pytest.approx(times) for engine, times in expected.items()}
    assert result.cycles == ceil(total - 1e-6)
    check_account(result)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_on_scarce_bandwidth(seed: int):
    """Sharing only delays: never below the bound, each engine's work fits, the account is exact."""
    scarce = edge(dram={"bandwidth_gbs": 8.0}, sram={"bank_bytes": 4})
    program = random_program(seed)
    result = simulate_timing(program, scarce, timeline=True)
    check_account(result)
    assert result.cycles >= bound_cycles(program, scarce)
    assert result.cycles >= (result.dram_read + result.dram_written) / 8 - 1
    plenty = simulate_timing(program, edge(sram={"bank_bytes": 4}, dram={"bandwidth_gbs": 1e9}))
    assert result.cycles >= plenty.cycles
    for engine in result.engines.values():
        assert engine.busy >= engine.causes.get("compute", 0)


def test_rounding_keeps_the_total():
    assert round_to_total({"a": 0.5, "b": 0.5, "c": 1.0}, 2) in ({"a": 1, "c": 1}, {"b": 1, "c": 1})
    assert round_to_total({"a": 2.9999999, "b": 0.0}, 3) == {"a": 3}


def test_every_cycle_of_an_engine_belongs_to_an_instruction():
    """Over its instructions, and over the groups, an engine's causes are those of the whole but for the idle end."""
    program = matmul_program(64, 256, 512)
    result = simulate_timing(program, TARGET)
    (group,) = result.groups
    for name in ("dma0", "dma1", "dma2", "mx", "out"):
        whole = {cause: cycles for cause, cycles in result.engines[name].causes.items() if cause != "idle"}
        parts: dict[str, int] = {}
        for instruction, time in zip(program.instructions, result.instructions):
            if instruction.engine.name.lower() == name:
                for cause, cycles in time.causes.items():
                    parts[cause] = parts.get(cause, 0) + cycles
        for found in (parts, group.causes[name]):
            assert found == pytest.approx(whole, abs=2)
    gemm = result.instructions[4]
    assert gemm.executions == 8 and gemm.busy + gemm.waiting == sum(gemm.causes.values())
