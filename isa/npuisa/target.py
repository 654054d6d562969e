"""Hardware targets: data files with a strict schema. No figure of a machine stands in code."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import metadata, resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from npuisa.dtypes import DTYPES
from npuisa.errors import ExitCode, NpuError, error_code
from npuisa.kernel import MicroClass

UNKNOWN_TARGET = error_code("NPU-E0101", ExitCode.USAGE, "No target of that name or file")
BAD_TARGET = error_code("NPU-E0102", ExitCode.BAD_INPUT, "The target file breaks the schema")

Rates = dict[str, float]


KNOWN_DTYPES = tuple(dtype.name for dtype in DTYPES)
COST_CLASSES = tuple(member.name.lower() for member in MicroClass)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known(found: Iterable[str], known: tuple[str, ...], what: str) -> None:
    for name in found:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f", did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
            raise ValueError(f"unknown {what} {name}{hint}")


class Matrix(_Strict):
    """Matrix engine: one or more rows x cols arrays of multiply-accumulate units."""

    rows: int = Field(gt=0, description="rows R: the K dimension of a weight-stationary fold")
    cols: int = Field(gt=0, description="columns C: the N dimension of a weight-stationary fold")
    dataflow: Literal["ws", "os", "is"] = Field(description="which operand stays in the array")
    shadow_weights: bool = Field(description="the next stationary tile loads while the present one computes")
    rates: Rates = Field(description="MACs per unit and cycle by operand type; a type not listed is not supported")
    depthwise_macs: float = Field(ge=0, description="depthwise MACs per cycle in the array; 0: use the vector engine")
    depthwise_kernel_granule: int = Field(
        default=1, gt=0, description="kernel elements that a depthwise step takes at once; windows are rounded up to it"
    )
    k_granules: tuple[tuple[int, int], ...] = Field(
        default=((1, 1),),
        description="shapes of a step along K as [channels, kernel elements]; K is rounded up to whole steps of the "
        "shape that needs fewest",
    )
    arrays: int = Field(default=1, ge=1, description="equal arrays of rows x cols that work on one instruction")
    arrays_split: tuple[Literal["m", "n"], ...] = Field(
        default=("m", "n"), min_length=1, description="dimensions that the arrays can split; the better is taken"
    )
    skew: Literal["systolic", "broadcast"] = Field(
        default="systolic",
        description="systolic: operands ripple from cell to cell, R + C - 2 cycles of fill and drain; broadcast: they "
        "reach all cells at once, sums over rows (ws, is) take log2 R cycles",
    )
    transposer: bool = Field(default=True, description="a stationary tile may be loaded by columns as well as by rows")
    line_buffers: bool = Field(
        default=True, description="a feeder may keep one SRAM line per row of the array and refill it when used up"
    )

    @field_validator("rates")
    @classmethod
    def _rates(cls, rates: Rates) -> Rates:
        _known(rates, KNOWN_DTYPES, "element type")
        if not rates or min(rates.values()) <= 0:
            raise ValueError("rates are positive; leave out the types that are not supported")
        return rates

    @field_validator("k_granules")
    @classmethod
    def _granules(cls, granules: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if not granules or min(min(shape) for shape in granules) < 1:
            raise ValueError("give at least one step of [channels, kernel elements], both 1 or more")
        return granules


class Accumulator(_Strict):
    """Accumulator memory, written by the matrix engine and read by the output stage."""

    bytes: int = Field(gt=0, description="bytes of accumulators")
    banks: int = Field(
        default=0, ge=0, description="banks, interleaved by lines; 0: one per array column or output lane, the greater"
    )
    bank_bytes: int = Field(default=4, gt=0, description="bytes of a bank's line")


class Output(_Strict):
    """Output stage: elements leave the accumulators through `lanes` lanes per cycle."""

    lanes: int = Field(gt=0, description="elements that leave the accumulators per cycle")
    fused_ops: int = Field(
        default=1, ge=1, description="micro-operations of the alu's interval that one pass through the stage applies"
    )


class Vector(_Strict):
    """Vector engine (and the ALUs of the output stage)."""

    lanes: int = Field(gt=0, description="elements per cycle at 32 bits or less; 64-bit types run at half")
    depth: int = Field(ge=0, description="pipeline depth in cycles")
    interval: dict[str, float] = Field(description="initiation interval per cost class: alu, div, transcendental")
    dtypes: list[str] = Field(description="element types the engine computes or moves")
    fused_ops: int = Field(default=1, ge=1, description="micro-operations of the alu's interval per pass; see [output]")
    weight_registers: int = Field(
        default=0, ge=0, description="window weights per lane that v.dwconv keeps; a larger window is read every step"
    )

    @field_validator("interval")
    @classmethod
    def _interval(cls, interval: dict[str, float]) -> dict[str, float]:
        _known(interval, COST_CLASSES, "cost class")
        if set(interval) != set(COST_CLASSES) or min(interval.values()) <= 0:
            raise ValueError(f"give each of {', '.join(COST_CLASSES)} a positive interval")
        return interval

    @field_validator("dtypes")
    @classmethod
    def _dtypes(cls, dtypes: list[str]) -> list[str]:
        _known(dtypes, KNOWN_DTYPES, "element type")
        return dtypes


class Sram(_Strict):
    """On-chip operand memory of one core."""

    bytes: int = Field(gt=0, description="bytes of operand memory")
    banks: int = Field(gt=0, description="banks, interleaved by lines")
    bank_bytes: int = Field(gt=0, description="bytes that one bank delivers per cycle")
    latency_cycles: int = Field(
        default=1, ge=0, description="cycles that the sequencer waits for one element (s.ld, s.st)"
    )


class Dma(_Strict):
    """DMA engines of one core."""

    channels: int = Field(ge=1, le=4, description="DMA channels, each with a queue of its own")
    outstanding: int = Field(gt=0, description="read bursts that one channel keeps in flight")
    outstanding_writes: int = Field(default=0, ge=0, description="write bursts likewise; 0: as many as reads")
    efficiency: float = Field(gt=0, le=1, description="fraction of burst x outstanding / latency that is reached")


class Dram(_Strict):
    """External memory as one core sees it."""

    bytes: int = Field(gt=0, description="bytes of external memory")
    bandwidth_gbs: float = Field(gt=0, description="GB/s (10^9), reads and writes together")
    efficiency: float = Field(
        default=1.0, gt=0, le=1, description="fraction of the bandwidth that streams reach (refresh, row changes)"
    )
    latency_cycles: int = Field(ge=0, description="cycles from a read request to its first data")
    write_latency_cycles: int = Field(
        default=-1, ge=-1, description="cycles from a write request to its acknowledgement; -1: as reads"
    )
    max_reads: int = Field(default=0, ge=0, description="read bursts in flight of all channels together; 0: no limit")
    max_writes: int = Field(default=0, ge=0, description="write bursts likewise; 0: no limit")
    burst_bytes: int = Field(gt=0, description="bytes that one request moves at least")


class Sequencer(_Strict):
    """Issue."""

    queue_depth: int = Field(gt=0, description="instructions each engine's queue holds")


class Target(_Strict):
    """One machine. Clock in GHz; every other time in cycles of that clock."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    description: str
    clock_ghz: float = Field(gt=0, description="clock in GHz")
    cores: int = Field(ge=1, description="cores of the chip; npucc compiles for one")
    matrix: Matrix
    accumulator: Accumulator
    output: Output
    vector: Vector
    sram: Sram
    dma: Dma
    dram: Dram
    sequencer: Sequencer
    sources: dict[str, str] = Field(description="for each figure, or group of figures, where it comes from")

    @model_validator(mode="after")
    def _sources_name_figures(self) -> Target:
        keys = ("*", *figures(), *(name for name in type(self).model_fields))
        _known(self.sources, keys, "figure in [sources]:")
        return self

    def source_of(self, figure: str) -> str | None:
        """Where a figure such as `matrix.rows` comes from: its own entry, its group's, or that of `*`."""
        group = figure.partition(".")[0]
        return self.sources.get(figure) or self.sources.get(group) or self.sources.get("*")

    @property
    def dram_bytes_per_cycle(self) -> float:
        """DRAM bytes per core cycle that streams reach, reads and writes together."""
        return self.dram.bandwidth_gbs * self.dram.efficiency / self.clock_ghz

    def macs_per_cycle(self, dtype: str) -> float:
        """Peak MACs per cycle for operands of `dtype`; 0 where the type is not supported."""
        return self.cells * self.matrix.rates.get(dtype, 0.0)

    @property
    def cells(self) -> int:
        """Multiply-accumulate units of all arrays."""
        return self.matrix.arrays * self.matrix.rows * self.matrix.cols

    @property
    def array_text(self) -> str:
        """Size of the matrix engine, for tables: `32 x 32`, or `4 x 128 x 128` for four arrays."""
        matrix = self.matrix
        several = f"{matrix.arrays} x " if matrix.arrays > 1 else ""
        return f"{several}{matrix.rows} x {matrix.cols}"

    @property
    def accumulator_banks(self) -> int:
        """Banks of the accumulator memory."""
        return self.accumulator.banks or max(self.matrix.arrays * self.matrix.cols, self.output.lanes)

    def interval(self, cost: MicroClass) -> float:
        """Cycles per vector of lanes for a micro-operation of class `cost`."""
        return self.vector.interval[cost.name.lower()]

    @staticmethod
    def load(name_or_file: str) -> Target:
        """A shipped target, one that a package registers (entry point `npucc.targets`), or a TOML file."""
        path = Path(name_or_file)
        if path.suffix == ".toml":
            if not path.is_file():
                raise NpuError(UNKNOWN_TARGET, "target file not found", found=name_or_file, remedy="check the path")
            return parse_target(path.read_bytes(), str(path))
        files = target_files()
        if name_or_file not in files:
            close = get_close_matches(name_or_file, files, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            known = ", ".join(sorted(files))
            raise NpuError(UNKNOWN_TARGET, "unknown target", found=name_or_file, remedy=f"{hint}known targets: {known}")
        return parse_target(files[name_or_file], name_or_file)


def figures() -> list[str]:
    """Every key of a target file that holds a figure of the machine, such as `clock_ghz` and `matrix.rows`."""
    found: list[str] = []
    for name, info in Target.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += [f"{name}.{key}" for key in kind.model_fields]
        elif name not in ("name", "description", "sources"):
            found.append(name)
    return found


def target_files(*, registered: bool = True) -> dict[str, bytes]:
    """Target name -> TOML text, of the shipped targets and (if `registered`) of entry points in group `npucc.targets`.

    An entry point names a function without arguments that returns the path of a TOML file.
    """
    found = {
        entry.name.removesuffix(".toml"): entry.read_bytes()
        for entry in resources.files("npuisa").joinpath("targets").iterdir()
        if entry.name.endswith(".toml")
    }
    for entry_point in metadata.entry_points(group="npucc.targets") if registered else ():
        found[entry_point.name] = Path(entry_point.load()()).read_bytes()
    return found


def parse_target(text: bytes, where: str) -> Target:
    """Parse and check a target file; every broken rule is reported at once."""
    try:
        data = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NpuError(BAD_TARGET, "not a TOML file", where=where, found=str(error), remedy="mend the syntax") from None
    try:
        return Target.model_validate(data)
    except ValidationError as error:
        raise NpuError(BAD_TARGET, "target file breaks the schema", where=where, problems=_problems(error)) from None


def _problems(error: ValidationError) -> list[NpuError]:
    keys = sorted({key for model in (Target, *_Strict.__subclasses__()) for key in model.model_fields})
    problems: list[NpuError] = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        close = get_close_matches(str(item["loc"][-1]), keys, n=1) if item["type"] == "extra_forbidden" else []
        remedy = f"did you mean {close[0]}?" if close else "see `npucc target schema`"
        problems.append(
            NpuError(
                BAD_TARGET,
                item["msg"].removeprefix("Value error, "),
                where=key,
                found=repr(item.get("input"))[:80],
                remedy=remedy,
            )
        )
    return problems
