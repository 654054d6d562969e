"""`.npz` files of every element type: written and read back, by npucc and by NumPy alone."""

from __future__ import annotations

import numpy as np
import pytest
from npucc.inputs import check_inputs, load_npz, save_npz, seeded_inputs
from npucc.stored_types import as_given
from npuisa.dtypes import DTYPES, DType
from npuisa.errors import NpuError
from npuisa.program import Port

ALL = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def values(dtype: DType, shape: tuple[int, ...] = (2, 3, 5)) -> np.ndarray:
    """Random bytes that are elements of the type."""
    raw = np.random.default_rng(1).integers(0, 256, (*shape, dtype.bytes), dtype=np.uint8)
    if dtype.name == "bool":
        return raw[..., 0] > 127
    if dtype.bits < 8:
        raw &= (1 << dtype.bits) - 1
    return raw.view(dtype.numpy)[..., 0]


@ALL
@pytest.mark.parametrize("shape", [(2, 3, 5), (), (0, 4)], ids=str)
def test_files_of_npucc_round_trip(tmp_path, dtype, shape):
    array = values(dtype, shape)
    save_npz(tmp_path / "x.npz", {"x": array, "transposed": array.T})
    found = load_npz(tmp_path / "x.npz")
    assert found["x"].dtype == array.dtype and found["x"].shape == array.shape
    assert found["x"].tobytes() == array.tobytes()
    assert found["transposed"].tobytes() == array.T.tobytes()


@ALL
def test_numpy_reads_what_npucc_wrote(tmp_path, dtype):
    array = values(dtype)
    save_npz(tmp_path / "x.npz", {"x": array})
    with np.load(tmp_path / "x.npz") as file:
        plain = file["x"]
    assert plain.tobytes() == array.tobytes()
    assert plain.dtype.names is None or plain.dtype.names == (dtype.numpy.name,)


@ALL
def test_files_of_numpy_are_taken_as_the_type_of_the_input(tmp_path, dtype):
    array = values(dtype)
    np.savez(tmp_path / "x.npz", x=array)
    ports = [Port("x", dtype, array.shape, 0)]
    found = as_given(ports, load_npz(tmp_path / "x.npz"))
    check_inputs(ports, found)
    assert found["x"].tobytes() == array.tobytes()


def test_bytes_without_a_name_are_no_u8(tmp_path):
    np.savez(tmp_path / "x.npz", x=values(DTYPES[-1]))
    ports = [Port("x", next(dtype for dtype in DTYPES if dtype.name == "u8"), (2, 3, 5), 0)]
    with pytest.raises(NpuError, match="do not fit"):
        check_inputs(ports, as_given(ports, load_npz(tmp_path / "x.npz")))


@ALL
@pytest.mark.parametrize("kind", ["normal", "wide", "edges"])
def test_drawn_inputs_fit_and_vary(dtype, kind):
    ports = [Port("x", dtype, (400,), 0)]
    drawn = seeded_inputs(ports, 0, kind)
    check_inputs(ports, drawn)
    count = len(np.unique(drawn["x"].astype(np.float32)))
    assert count >= 2
    if kind == "wide" and not dtype.is_float:
        assert count == min(1 << dtype.bits if dtype.name != "bool" else 2, 400) or count > 150
