"""Perfetto traces and the counters in them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import pytest
from handmade import Builder, edge, matmul_program
from npuisa.descriptor import Space
from npuisa.instructions import DmaCopy, Engine, VMap
from npuisa.program import RegionKind
from npusim.occupancy import dram_rate, live_bytes, peak
from npusim.timing import simulate_timing
from npusim.trace import write_trace
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

TARGET = edge()


def read(path: Path) -> Trace:
    trace = Trace()
    trace.ParseFromString(path.read_bytes())
    return trace


def test_slices_are_the_executions(tmp_path: Path):
    program = matmul_program(64, 256, 512)
    timing = simulate_timing(program, TARGET, timeline=True)
    write_trace(program, timing, tmp_path / "t.pftrace")
    trace = read(tmp_path / "t.pftrace")
    names = {packet.track_descriptor.uuid: packet.track_descriptor.name for packet in trace.packet}
    begun: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    ended: defaultdict[str, list[int]] = defaultdict(list)
    for packet in trace.packet:
        event = packet.track_event
        track = names[event.track_uuid] if event.track_uuid else ""
        if packet.HasField("track_event") and event.type == TrackEvent.TYPE_SLICE_BEGIN:
            begun[track].append((packet.timestamp, event.name))
        elif packet.HasField("track_event") and event.type == TrackEvent.TYPE_SLICE_END:
            ended[track].append(packet.timestamp)
    for engine in (Engine.DMA0, Engine.DMA1, Engine.DMA2, Engine.MX, Engine.OUT):
        entries = [entry for entry in timing.timeline if entry.engine is engine]
        label = engine.name.lower()
        assert [time for time, _ in begun[label]] == [round(entry.start) for entry in entries]
        assert ended[label] == [round(entry.free) for entry in entries]
        assert all(end <= start for end, (start, _) in zip(ended[label], begun[label][1:]))
        assert {name.split()[1] for _, name in begun[label]} == {"node0"}
    assert ended["groups"] == [timing.groups[-1].end]


def test_timestamps_are_nanoseconds(tmp_path: Path):
    program = matmul_program(64, 256, 512)
    data = TARGET.model_dump() | {"clock_ghz": 0.5}
    slow = type(TARGET).model_validate(data)
    timing = simulate_timing(program, slow, timeline=True)
    write_trace(program, timing, tmp_path / "t.pftrace")
    last = max(packet.timestamp for packet in read(tmp_path / "t.pftrace").packet)
    assert last == pytest.approx(timing.seconds * 1e9, rel=0.02)


def test_counters_are_tracks_with_units(tmp_path: Path):
    program = matmul_program(64, 256, 512)
    write_trace(program, simulate_timing(program, TARGET, timeline=True), tmp_path / "t.pftrace")
    trace = read(tmp_path / "t.pftrace")
    counters = {p.track_descriptor.name for p in trace.packet if p.track_descriptor.HasField("counter")}
    assert counters == {"SRAM live bytes", "DRAM read bytes per cycle", "DRAM written bytes per cycle"}
    values = [p.track_event.double_counter_value for p in trace.packet if p.track_event.type == TrackEvent.TYPE_COUNTER]
    assert max(values) == peak(live_bytes(program, simulate_timing(program, TARGET, timeline=True).timeline))


def test_live_bytes_from_first_write_to_last_read():
    """a (1,280 B) lives from its load to its last read, b from the first map; rewriting a begins a new value."""
    b = Builder()
    b.region("in", RegionKind.INPUT, 0, 1 << 16)
    full, free = b.sem("full"), b.sem("free")
    src, a, c = b.view(Space.DRAM, (640,), 0), b.view(Space.SRAM, (640,), 0), b.view(Space.SRAM, (640,), 4096)
    b.emit(DmaCopy(unit=Engine.DMA0, dst=a, src=src, posts=(full,)))
    b.emit(VMap(dst=c, kernel=0, s0=a, waits=(full,), posts=(free,)))
    b.emit(DmaCopy(unit=Engine.DMA0, dst=a, src=src, waits=(free,)))
    timing = simulate_timing(b.program(), TARGET, timeline=True)
    load, work, again = timing.timeline
    samples = live_bytes(b.program(), timing.timeline)
    # c is written and never read; the second value of a begins in the cycle in which the first one ends.
    assert samples == [(load.start, 1280), (work.start, 2560), (work.end, 1280), (again.end, 0)]
    assert peak(samples) == 2560


def test_dram_rate_never_exceeds_the_peak_and_integrates_to_the_bytes():
    timing = simulate_timing(matmul_program(64, 256, 2048), TARGET, timeline=True)
    read_samples, written = (dram_rate(timing.timeline, written=flag) for flag in (False, True))
    assert max(value for _, value in read_samples) <= 32 * (1 + 1e-9)
    for samples, total in ((read_samples, timing.dram_read), (written, timing.dram_written)):
        moved = sum(value * (after[0] - time) for (time, value), after in itertools.pairwise(samples))
        assert moved == pytest.approx(total)
