"""Perfetto traces: open the file at ui.perfetto.dev.

Tracks: the groups of the program (each from the end of the group before to its own end), one track per engine
with a slice per executed instruction, and counters of live SRAM bytes and of DRAM bytes per cycle. One cycle
is one clock period of the target; timestamps are nanoseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from npuisa.instructions import QUEUED_ENGINES
from npuisa.program import Program
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import CounterDescriptor, TrackDescriptor, TrackEvent
from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

from npusim.costs import ENGINE_LABELS
from npusim.occupancy import Samples, dram_rate, live_bytes
from npusim.timing_result import TimelineEntry, TimingResult

_SEQUENCE = 1
_ROOT, _GROUPS, _SRAM, _DRAM_READ, _DRAM_WRITTEN, _FIRST_ENGINE = 1, 2, 3, 4, 5, 16


def write_trace(program: Program, timing: TimingResult, path: str | Path) -> None:
    """Write the Perfetto trace of a run to `path`; `timing` must hold a timeline (`timeline=True`)."""
    with Path(path).open("wb") as file:
        _Writer(file, timing.clock_ghz).write(program, timing)


class _Writer:
    def __init__(self, file: IO[bytes], clock_ghz: float) -> None:
        self._builder = StreamingTraceProtoBuilder(file)
        self._nanoseconds = 1.0 / clock_ghz

    def write(self, program: Program, timing: TimingResult) -> None:
        """All tracks."""
        self._track(_ROOT, f"npucc {program.metadata.get('model', program.target)}", None)
        self._groups(timing)
        by_engine: dict[int, list[TimelineEntry]] = {}
        for entry in timing.timeline:
            by_engine.setdefault(int(entry.engine), []).append(entry)
        for rank, engine in enumerate(QUEUED_ENGINES, 1):
            if engine in by_engine:
                self._track(_FIRST_ENGINE + engine, ENGINE_LABELS[engine], _ROOT, rank)
                for entry in by_engine[engine]:
                    self._instruction(program, entry)
        self._counter(_SRAM, "SRAM live bytes", live_bytes(program, timing.timeline), "bytes")
        for uuid, written, name in ((_DRAM_READ, False, "DRAM read"), (_DRAM_WRITTEN, True, "DRAM written")):
            self._counter(uuid, f"{name} bytes per cycle", dram_rate(timing.timeline, written=written), "B/cycle")

    def _groups(self, timing: TimingResult) -> None:
        self._track(_GROUPS, "groups", _ROOT, 0)
        begin = 0
        for group in timing.groups:
            notes = {"nodes": ", ".join(group.nodes), "group": group.group, "cycles": group.cycles}
            notes |= {f"busy {engine}": cycles for engine, cycles in group.busy.items()}
            self._slice(_GROUPS, group.name, begin, group.end, notes)
            begin = group.end

    def _instruction(self, program: Program, entry: TimelineEntry) -> None:
        instruction = program.instructions[entry.index]
        name = instruction.mnemonic
        notes: dict[str, str | int] = {"instruction": entry.index, "complete at cycle": round(entry.end)}
        if entry.index < len(program.debug):
            debug = program.debug[entry.index]
            name += f" {debug.nodes[0]}" if debug.nodes else ""
            notes |= {"nodes": ", ".join(debug.nodes), "group": debug.group_name, "tile op": debug.tile_op}
        if entry.dram_read or entry.dram_written:
            notes |= {"DRAM bytes read": entry.dram_read, "DRAM bytes written": entry.dram_written}
        self._slice(_FIRST_ENGINE + entry.engine, name, entry.start, entry.free, notes)

    # --- packets ------------------------------------------------------------------------------------------

    def _track(self, uuid: int, name: str, parent: int | None, rank: int = 0) -> Any:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        track = packet.track_descriptor
        track.uuid, track.name = uuid, name
        if parent is None:
            track.child_ordering = TrackDescriptor.EXPLICIT
        else:
            track.parent_uuid, track.sibling_order_rank = parent, rank
        self._builder.write_packet(packet)

    def _event(self, uuid: int, cycle: float, kind: Any) -> Any:
        packet = self._builder.create_packet()
        packet.timestamp = round(cycle * self._nanoseconds)
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.track_event.type, packet.track_event.track_uuid = kind, uuid
        return packet

    def _slice(self, uuid: int, name: str, start: float, end: float, notes: dict[str, Any]) -> None:
        packet = self._event(uuid, start, TrackEvent.TYPE_SLICE_BEGIN)
        packet.track_event.name = name
        for key, value in notes.items():
            annotation = packet.track_event.debug_annotations.add()
            annotation.name = key
            if isinstance(value, int):
                annotation.int_value = value
            else:
                annotation.string_value = value
        self._builder.write_packet(packet)
        self._builder.write_packet(self._event(uuid, end, TrackEvent.TYPE_SLICE_END))

    def _counter(self, uuid: int, name: str, samples: Samples, unit: str) -> None:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        track = packet.track_descriptor
        track.uuid, track.name, track.parent_uuid, track.sibling_order_rank = uuid, name, _ROOT, 100 + uuid
        if unit == "bytes":
            track.counter.unit = CounterDescriptor.UNIT_SIZE_BYTES
        else:
            track.counter.unit_name = unit
        self._builder.write_packet(packet)
        for cycle, value in samples:
            packet = self._event(uuid, cycle, TrackEvent.TYPE_COUNTER)
            packet.track_event.double_counter_value = value
            self._builder.write_packet(packet)
