"""Read an ONNX model from a path, bytes or a ModelProto; what is damaged is refused before anything is built."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from npuisa.errors import NpuError

from npucc.frontend.complex_parts import without_complex
from npucc.frontend.graph_checks import check_and_sort, check_text
from npucc.frontend.problems import UNREADABLE, UNSUPPORTED_VERSION

MAX_FILE_BYTES = (1 << 31) - 1
"""protobuf's own limit for one message."""
OLDEST_OPSET = 1

ModelSource = str | Path | bytes | onnx.ModelProto


@dataclass(frozen=True)
class LoadedModel:
    """A model that passed the structural checks.

    `nodes` is in topological order. `folder` holds external data (None for bytes and protos without a folder).
    """

    proto: onnx.ModelProto
    nodes: list[onnx.NodeProto]
    opsets: dict[str, int]
    name: str
    folder: Path | None


def load_model(source: ModelSource) -> LoadedModel:
    """Parse and check. Errors: E0501 (unreadable), E0502-E0505 (damaged), E0511 (opset too old or too new)."""
    folder: Path | None = None
    name = "model"
    if isinstance(source, onnx.ModelProto):
        proto = source
    elif isinstance(source, bytes):
        proto = _parse(source, "bytes")
    else:
        path = Path(source)
        folder, name = path.parent, path.stem
        proto = _read(path)
    if isinstance(source, bytes | onnx.ModelProto) and proto.graph.name:
        name = proto.graph.name
    _check_is_model(proto, name)
    check_text(proto)
    opsets = _opsets(proto, name)
    nodes = check_and_sort(proto, opsets)
    parts = without_complex(proto, nodes, folder)
    if parts is not proto:
        proto, nodes = parts, check_and_sort(parts, opsets)
    return LoadedModel(proto, nodes, opsets, name, folder)


def _read(path: Path) -> onnx.ModelProto:
    """Parse a file through a memory map, so that its bytes are held once."""
    if not path.is_file():
        raise _unreadable(str(path), "no such file", "give the path of an .onnx file")
    size = path.stat().st_size
    if size == 0:
        raise _unreadable(str(path), "an empty file", "download the model again")
    if size > MAX_FILE_BYTES:
        remedy = "store the weights as external data (onnx.save(..., save_as_external_data=True))"
        raise _unreadable(str(path), f"{size} bytes", remedy)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            view = memoryview(data)
            try:
                return _parse(view, str(path))
            finally:
                view.release()
    except OSError as error:
        raise _unreadable(str(path), error.strerror or str(error), "check the file and its permissions") from error


def _parse(data: bytes | memoryview, where: str) -> onnx.ModelProto:
    try:
        return onnx.ModelProto.FromString(data)  # pyright: ignore[reportArgumentType]
    except (DecodeError, RecursionError, ValueError) as error:
        found = f"{len(data)} bytes that are not a complete protobuf message"
        raise _unreadable(where, found, "check that this is an .onnx file; download it again if it is") from error


def _unreadable(where: str, found: str, remedy: str) -> NpuError:
    return NpuError(UNREADABLE, "the ONNX model cannot be read", where=where, found=found, remedy=remedy)


def _check_is_model(proto: onnx.ModelProto, where: str) -> None:
    """Other protobuf messages often parse as an (almost empty) model."""
    if not proto.HasField("graph") or not proto.opset_import:
        missing = "graph" if not proto.HasField("graph") else "opset_import"
        raise _unreadable(where, f"a message without `{missing}`", "check that this is an ONNX model")
    if not proto.graph.output:
        raise _unreadable(where, "a graph without outputs", "check that this is an ONNX model for inference")


def _opsets(proto: onnx.ModelProto, where: str) -> dict[str, int]:
    """Domain -> version; the default domain must be one this onnx package knows."""
    opsets = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in proto.opset_import}
    for domain, number in opsets.items():
        if not 0 < number < 1 << 31:
            found = f"version {number} of domain `{domain or 'ai.onnx'}`"
            raise _unreadable(where, found, "download the model again: an opset version is a small positive number")
    newest = onnx.defs.onnx_opset_version()
    version = opsets.get("", newest)
    if not OLDEST_OPSET <= version <= newest:
        raise NpuError(
            UNSUPPORTED_VERSION,
            f"opset versions {OLDEST_OPSET} to {newest} are supported",
            where=where,
            found=f"opset {version}",
            remedy="convert with onnx.version_converter"
            if version < OLDEST_OPSET
            else "update the onnx package, or export for an older opset",
        )
    return {"": version, **opsets}
