"""Hardware targets: every shipped file is complete and sourced; the schema refuses and explains mistakes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from npuisa.dtypes import DTYPES
from npuisa.errors import ExitCode, NpuError
from npuisa.target import Target, figures, parse_target, target_files

SHIPPED = sorted(target_files())
EDGE = resources.files("npuisa").joinpath("targets/edge-4t.toml").read_text()


def test_the_expected_targets_ship() -> None:
    assert set(SHIPPED) >= {
        "edge-4t",
        "ethos-u55-256",
        "ethos-u65-512",
        "ethos-u85-1024",
        "gemmini-16x16",
        "tpu-v1",
        "tpu-v4i-class",
        "phone-npu-m1-class",
        "phone-npu-m4-class",
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_every_figure_has_a_source(name: str) -> None:
    target = Target.load(name)
    assert target.name == name
    missing = [figure for figure in figures() if not target.source_of(figure)]
    assert not missing, f"{name} does not say where these come from: {missing}"
    if name.endswith("-class"):
        assert any(text.startswith("estimate:") for text in target.sources.values())


@pytest.mark.parametrize(
    ("name", "dtype", "macs", "tera_ops"),
    [
        ("ethos-u55-256", "i8", 256, 0.256),
        ("ethos-u65-512", "i8", 512, 1.024),
        ("ethos-u85-1024", "i8", 1024, 2.048),
        ("gemmini-16x16", "i8", 256, 0.512),
        ("tpu-v1", "i8", 65536, 92),
        ("tpu-v4i-class", "bf16", 65536, 138),
        ("phone-npu-m1-class", "f16", 4096, 11),
        ("phone-npu-m4-class", "i8", 8192, 38),
    ],
)
def test_peaks_are_the_published_ones(name: str, dtype: str, macs: float, tera_ops: float) -> None:
    target = Target.load(name)
    assert target.macs_per_cycle(dtype) == macs
    assert 2e-3 * macs * target.clock_ghz == pytest.approx(tera_ops, rel=0.01)


@pytest.mark.parametrize("name", ["ethos-u55-256", "ethos-u65-512", "ethos-u85-1024", "gemmini-16x16", "tpu-v1"])
def test_integer_machines_multiply_integers_only(name: str) -> None:
    assert set(Target.load(name).matrix.rates) == {"i8", "u8"}


@pytest.mark.parametrize("name", ["edge-4t", "tpu-v4i-class", "phone-npu-m1-class", "phone-npu-m4-class"])
def test_half_precision_machines(name: str) -> None:
    target = Target.load(name)
    assert target.macs_per_cycle("f16") > 0 and "f16" in target.vector.dtypes


@pytest.mark.parametrize("name", SHIPPED)
def test_memory_bandwidth_can_be_reached(name: str) -> None:
    """Reads and writes of all channels together keep enough bursts in flight for at least 90% of the peak."""
    target = Target.load(name)
    dma, dram = target.dma, target.dram
    reads, writes = dma.channels * dma.outstanding, dma.channels * (dma.outstanding_writes or dma.outstanding)
    write_latency = dram.latency_cycles if dram.write_latency_cycles < 0 else dram.write_latency_cycles
    rate = min(reads, dram.max_reads or reads) / max(dram.latency_cycles, 1)
    rate += min(writes, dram.max_writes or writes) / max(write_latency, 1)
    assert rate * dram.burst_bytes * dma.efficiency >= 0.9 * target.dram_bytes_per_cycle


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("rows = 32", "rwos = 32", ["matrix.rwos", "did you mean rows?", "matrix.rows", "Field required"]),
        ("rows = 32", "rows = 0", ["matrix.rows", "greater than 0"]),
        ("bf16 = 1.0", "bf61 = 1.0", ["matrix.rates", "unknown element type bf61", "did you mean bf16?"]),
        ("i8 = 2.0", "i8 = 0.0", ["matrix.rates", "positive"]),
        ("div = 4.0", "dvi = 4.0", ["vector.interval", "did you mean div?"]),
        ("div = 4.0, ", "", ["vector.interval", "alu, div, transcendental"]),
        ('"dma.efficiency"', '"dma.eficiency"', ["did you mean dma.efficiency?"]),
        ('dataflow = "ws"', 'dataflow = "rs"', ["matrix.dataflow"]),
        ("clock_ghz = 1.0", "clock_ghz = ", ["not a TOML file"]),
    ],
)
def test_mistakes_are_explained(old: str, new: str, parts: list[str]) -> None:
    assert old in EDGE
    with pytest.raises(NpuError) as caught:
        parse_target(EDGE.replace(old, new).encode(), "mine.toml")
    assert caught.value.entry.code == "NPU-E0102" and caught.value.where == "mine.toml"
    assert caught.value.entry.exit_code == ExitCode.BAD_INPUT
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_unknown_targets(tmp_path: Path) -> None:
    with pytest.raises(NpuError, match=r"did you mean edge-4t\?"):
        Target.load("edge4t")
    with pytest.raises(NpuError, match="target file not found"):
        Target.load(str(tmp_path / "x.toml"))
    (tmp_path / "x.toml").write_text(EDGE.replace('"edge-4t"', '"x"'))
    assert Target.load(str(tmp_path / "x.toml")).name == "x"


def test_every_type_has_a_code_of_its_own() -> None:
    assert len({dtype.code for dtype in DTYPES}) == len({dtype.name for dtype in DTYPES}) == len(DTYPES)
    assert max(dtype.code for dtype in DTYPES) < 32
