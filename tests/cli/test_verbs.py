"""The verbs end to end on the model that ships: exit codes, JSON fields, files written, round trips."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from npuisa.errors import ExitCode

SLOW = "order = [oh, ow], tiles = {n = 1, oh = 1, ow = 1, co = 32"
Run = Callable[..., tuple[int, str, str]]

# Fields that the contract of `run` and `validate` names; there may be more.
RUN_FIELDS = (
    "model", "target", "precision", "outputs", "cycles", "bound_cycles", "efficiency", "seconds_at_clock",
    "engines", "lost_cycles", "dram_bytes", "sram_peak_bytes", "instructions", "host_nodes", "compile_seconds",
    "simulate_seconds",
)  # fmt: skip
OUTPUT_FIELDS = ("name", "shape", "dtype", "max_abs_err", "max_rel_err", "sqnr_db", "mismatches")


def test_run_json_has_the_fields_of_the_contract(npucc: Run) -> None:
    code, out, _ = npucc("run", "digits", "--json", "-")
    result = json.loads(out)
    assert code == 0
    assert set(RUN_FIELDS) <= result.keys()
    assert {"read", "written", "compulsory"} <= result["dram_bytes"].keys()
    assert result["bound_cycles"] <= result["cycles"]
    for engine in result["engines"].values():
        assert sum(engine["causes"].values()) == result["cycles"]
        assert {"busy_cycles", "instructions"} <= engine.keys()


def test_validate_passes_and_writes_json(npucc: Run, tmp_path: Path) -> None:
    code, out, _ = npucc("validate", "digits", "--json", "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    assert code == 0 and "PASSED" in out
    assert result["passed"] and set(RUN_FIELDS) <= result.keys()
    assert set(OUTPUT_FIELDS) <= result["outputs"][0].keys()
    assert result["outputs"][0]["mismatches"] == 0


def test_validate_exits_5_when_numbers_differ(npucc: Run) -> None:
    code, out, _ = npucc("validate", "digits", "--rtol", "0", "--atol", "0")
    assert code == ExitCode.NUMBERS_DIFFER and "FAILED" in out


@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_validate_16_bit(npucc: Run, precision: str) -> None:
    code, out, _ = npucc("validate", "digits", "--precision", precision)
    assert code == 0 and "SQNR >= 35 dB" in out


def test_validate_per_layer_names_every_tensor(npucc: Run) -> None:
    code, out, _ = npucc("validate", "digits", "--per-layer")
    assert code == 0
    for tensor in ("c1", "r1", "c2", "r2", "p2", "flat", "g1", "r3", "logits", "probabilities"):
        assert any(line.split() and line.split()[0] == tensor for line in out.splitlines()), tensor


def test_validate_dataset_compares_every_sample(npucc: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", image=np.random.default_rng(0).integers(0, 17, (5, 1, 1, 8, 8)).astype(np.float32))
    code, out, _ = npucc("validate", "digits", "--dataset", "d.npz", "--precision", "f16")
    assert code == 0 and "5 samples" in out


def test_inputs_and_outputs_are_files_by_onnx_name(npucc: Run, tmp_path: Path) -> None:
    image = np.arange(2 * 64, dtype=np.float32).reshape(2, 1, 8, 8) % 17
    np.savez(tmp_path / "x.npz", image=image)
    model = tmp_path / "digits.onnx"
    model.write_bytes((Path(sys.modules["npucc"].__path__[0]) / "data" / "digits.onnx").read_bytes())
    code, _, _ = npucc("run", str(model), "--inputs", "x.npz", "--save-outputs", "y.npz")
    assert code == 0
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["probabilities"].shape == (2, 10)  # the batch came from the input
        np.testing.assert_allclose(outputs["probabilities"].sum(1), 1, rtol=1e-5)


def test_program_file_disassembles_and_assembles_to_the_same_bytes(npucc: Run, tmp_path: Path) -> None:
    assert npucc("compile", "digits", "-o", "a.npu")[0] == 0
    assert npucc("disasm", "a.npu", "-o", "a.npuasm")[0] == 0
    assert npucc("asm", "a.npuasm", "-o", "b.npu")[0] == 0
    assert (tmp_path / "a.npu").read_bytes() == (tmp_path / "b.npu").read_bytes()
    assert npucc("run", "b.npu", "--check-hazards")[0] == 0


def test_compilation_is_deterministic(npucc: Run, tmp_path: Path) -> None:
    npucc("compile", "digits", "-o", "a.npu")
    npucc("compile", "digits", "-o", "b.npu")
    assert (tmp_path / "a.npu").read_bytes() == (tmp_path / "b.npu").read_bytes()


@pytest.mark.parametrize("level", ["graph", "tile", "npu"])
def test_every_level_prints_parses_back_and_continues(npucc: Run, tmp_path: Path, level: str) -> None:
    assert npucc("compile", "digits", "--emit", level, "-o", "a.mlir")[0] == 0
    assert npucc("opt", "a.mlir", "-o", "b.mlir")[0] == 0
    assert (tmp_path / "a.mlir").read_text() == (tmp_path / "b.mlir").read_text()
    direct = json.loads(npucc("run", "digits", "--json", "-")[1])
    continued = json.loads(npucc("run", "b.mlir", "--json", "-")[1])
    assert continued["cycles"] == direct["cycles"]


def test_an_edited_schedule_changes_the_cycles(npucc: Run, tmp_path: Path) -> None:
    npucc("compile", "digits", "--emit", "graph", "-o", "a.mlir")
    text = (tmp_path / "a.mlir").read_text()
    # conv2: one output pixel at a time.
    edited, found = re.subn(r"order = \[oh\], tiles = \{n = 1, oh = \d+, ow = 8, co = 32", SLOW, text)
    assert found == 1
    (tmp_path / "a.mlir").write_text(edited)
    before = json.loads(npucc("profile", "digits", "--json", "-")[1])
    after = json.loads(npucc("profile", "a.mlir", "--json", "-")[1])
    assert after["cycles"] > before["cycles"]


def test_profile_tells_where_the_cycles_went(npucc: Run, tmp_path: Path) -> None:
    code, out, _ = npucc("profile", "digits", "--csv", "layers.csv", "--trace", "t.pftrace")
    assert code == 0
    for word in ("bound", "efficiency", "roofline", "fill_drain", "conv1, relu1", "softmax"):
        assert word in out
    rows = (tmp_path / "layers.csv").read_text().splitlines()
    assert rows[0].startswith("group,name,first_cycle") and len(rows) == 7
    assert (tmp_path / "t.pftrace").stat().st_size > 1000


def test_timing_only_gives_the_same_cycles_without_outputs(npucc: Run) -> None:
    timing = json.loads(npucc("run", "digits", "--timing-only", "--json", "-")[1])
    values = json.loads(npucc("run", "digits", "--json", "-")[1])
    assert timing["outputs"] == [] and timing["cycles"] == values["cycles"]


def test_tap_adds_a_tensor(npucc: Run) -> None:
    code, out, _ = npucc("run", "digits", "--tap", "conv2")
    assert code == 0 and "c2: float32[1, 32, 8, 8]" in out
    code, _, err = npucc("run", "digits", "--tap", "conv9")
    assert code == ExitCode.USAGE and "conv" in err


def test_dump_ir_writes_one_file_per_pass(npucc: Run, tmp_path: Path) -> None:
    assert npucc("compile", "digits", "--dump-ir", "ir", "-o", "d.npu")[0] == 0
    names = sorted(path.name for path in (tmp_path / "ir").glob("*.mlir"))
    assert names[0] == "00-graph-simplify.mlir" and names[-1].endswith("convert-tile-to-npu.mlir")


def test_compile_json(npucc: Run) -> None:
    result = json.loads(npucc("compile", "digits", "-o", "d.npu", "--json", "-")[1])
    assert result["instructions"] > 10 and result["host_nodes"] == []
    assert "graph-schedule" in result["pass_seconds"]


def test_time_limit_keeps_the_program_and_exits_6(npucc: Run, tmp_path: Path) -> None:
    code, _, _ = npucc("compile", "digits", "--time-limit", "0", "-o", "d.npu")
    assert code == ExitCode.TIME_LIMIT
    assert npucc("run", "d.npu")[0] == 0


def test_check_lists_every_node(npucc: Run) -> None:
    code, out, _ = npucc("check", "digits")
    assert code == 0 and "10 on the NPU, 0 on the host, 0 unsupported" in out


def test_check_knows_what_the_target_refuses(npucc: Run) -> None:
    code, out, _ = npucc("check", "digits", "-t", "ethos-u65-512", "--json", "-")
    result = json.loads(out)
    assert code == ExitCode.DOES_NOT_FIT and not result["supported"]
    refused = {node["name"]: node for node in result["nodes"] if node["where"] == "unsupported"}
    assert refused.keys() == {"conv1", "conv2", "fc1", "fc2"}
    assert all("f32" in node["found"] and node["remedy"] for node in refused.values())


def test_target_verbs(npucc: Run, tmp_path: Path) -> None:
    assert "edge-4t" in npucc("target", "list")[1]
    assert "peak f16" in npucc("target", "show", "edge-4t")[1]
    assert json.loads(npucc("target", "schema")[1])["title"] == "Target"
    assert npucc("target", "new", "mine")[0] == 0
    text = (tmp_path / "mine.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("bandwidth_gbs = 32.0", "bandwidth_gbs = 64.0"))
    assert npucc("target", "validate", "mine.toml")[0] == 0
    faster = json.loads(npucc("profile", "digits", "-t", "mine.toml", "--json", "-")[1])
    slower = json.loads(npucc("profile", "digits", "--json", "-")[1])
    assert faster["cycles"] < slower["cycles"] and faster["target"] == "mine"
    assert npucc("target", "new", "mine")[0] == ExitCode.USAGE  # the file exists


def test_a_program_keeps_its_target(npucc: Run) -> None:
    npucc("compile", "digits", "-o", "d.npu")
    code, _, err = npucc("run", "d.npu", "-t", "tpu-v4i-class")
    assert code == ExitCode.USAGE and "edge-4t" in err


def test_errors_verb(npucc: Run) -> None:
    assert "NPU-E0501" in npucc("errors")[1]
    assert "exit code 7" in npucc("errors", "E0501")[1]
    assert npucc("errors", "E9999")[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile"],
        ["nonsense"],
        ["compile", "digits", "-O", "9"],
        ["compile", "digits", "--precision", "f8"],
        ["compile", "digits", "--emit", "bitcode"],
        ["compile", "digits", "--dim", "batch"],
        ["compile", "digits", "--dim", "batch=0"],
        ["compile", "digits", "--add-pass", "nowhere:graph-fold"],
        ["compile", "no-such-model"],
        ["compile", "digits", "-o", "no/such/folder/d.npu"],
        ["opt", "-p", "no-such-pass", "/dev/null"],
        ["opt", "-p", "graph-fold{bad=1}", "/dev/null"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_2(npucc: Run, arguments: list[str]) -> None:
    code, _, err = npucc(*arguments)
    assert code == ExitCode.USAGE, err
    assert "Traceback" not in err


def test_an_internal_error_keeps_a_reproducer(npucc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr("npucc.emit.emit_program", broken)
    monkeypatch.setattr("npucc.driver.emit_program", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = npucc("compile", "digits")
    assert code == ExitCode.INTERNAL
    assert "planted" in err and "Traceback" not in err
    (folder,) = tmp_path.glob("npucc-crash-*")
    assert (folder / "command.sh").read_text() == "npucc compile digits\n"
    assert "planted" in (folder / "traceback.txt").read_text()


def test_demo(npucc: Run) -> None:
    code, out, _ = npucc("demo", "--batch", "60", "--json", "demo.json")
    result = json.loads(Path("demo.json").read_text())
    assert code == 0 and "cycles per image" in out
    assert result["accuracy_npu"] >= 0.97 and result["same_class"] == result["images"] == 360
