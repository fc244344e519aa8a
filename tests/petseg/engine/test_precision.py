"""Which precision a model is opened in, on which machine."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from petseg import Segmenter, segment
from petseg.engine import cuda, network, precision
from petseg.engine.network import open_model
from petseg.engine.precision import int8_is_fast
from petseg.errors import DeviceError, ModelError
from petseg.models import bundle, catalog
from tests.support.tiny_models import build_model, manifest

INTEL = "processor\t: 0\nmodel name\t: some\nflags\t\t: fpu avx2 {}\n\nprocessor\t: 1\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Pretend to be another one."""

    def pretend(platform: str, processor: str = "x86_64", cpuinfo: str | None = None) -> None:
        monkeypatch.setattr(precision, "int8_is_fast", int8_is_fast.__wrapped__)
        monkeypatch.setattr(precision.sys, "platform", platform)
        monkeypatch.setattr(precision.platform, "machine", lambda: processor)
        monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "cpuinfo")
        if cpuinfo is not None:
            (tmp_path / "cpuinfo").write_text(cpuinfo)

    return pretend


@pytest.mark.parametrize(
    ("described", "fast"),
    [
        (("linux", "x86_64", INTEL.format("avx512_vnni")), True),
        (("linux", "x86_64", INTEL.format("avx_vnni")), True),
        (("linux", "x86_64", INTEL.format("avx512f")), False),
        (("linux", "aarch64", ARM.format("asimddp")), True),
        (("linux", "aarch64", ARM.format("asimdhp")), False),
        (("linux", "riscv64", "isa\t: rv64imafdc\n"), False),
        (("linux", "x86_64", None), False),
        (("darwin", "arm64"), True),
        (("darwin", "x86_64"), False),
        (("win32", "AMD64"), False),
        (("freebsd", "amd64"), False),
    ],
)
def test_processors(machine: Callable[..., None], described: tuple[str, ...], fast: bool) -> None:
    machine(*described)
    assert precision.int8_is_fast() is fast


def quantised(**changes: Any) -> bytes:
    return build_model(document=manifest(precision="int8", **changes)).SerializeToString()


@pytest.fixture
def both(weights: Path) -> Path:
    """The embedded tiny model has an int8 version, which is the same but for what it says."""
    data = quantised()
    (weights / "tiny.int8.onnx").write_bytes(data)
    index = json.loads((weights / "index.json").read_text())
    file = {"path": "tiny.int8.onnx", "sha256": "", "bytes": len(data)}
    file["sha256"] = bundle.digest(weights / "tiny.int8.onnx")
    index["models"]["tiny"]["int8"] = {"files": [file], "manifest": manifest(precision="int8")}
    (weights / "index.json").write_text(json.dumps(index))
    return weights


@pytest.mark.parametrize("fast", [True, False])
def test_auto_asks_the_processor(both: Path, monkeypatch: pytest.MonkeyPatch, photo: Any, fast: bool) -> None:
    monkeypatch.setattr(network, "int8_is_fast", lambda: fast)
    expected = "int8" if fast else "float32"
    segmenter = Segmenter(device="cpu", threads=1)
    assert segmenter.precision == segmenter.manifest.precision == expected
    assert expected in repr(segmenter)
    result = segmenter(photo)
    assert result.precision == result.thumbnail(20).precision == expected
    assert [answer.precision for answer in segmenter.map([photo])] == [expected]
    assert Segmenter("tiny-prompt", device="cpu").precision == "float32"


def test_the_caller_decides(both: Path, monkeypatch: pytest.MonkeyPatch, photo: Any) -> None:
    for fast in (True, False):
        monkeypatch.setattr(network, "int8_is_fast", lambda fast=fast: fast)
        for wanted in ("float32", "int8"):
            assert segment(photo, device="cpu", precision=wanted).precision == wanted


def test_a_gpu_gets_float32(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def open_network(files: Any, device: str, threads: int) -> Any:
        asked.append((files[0].path.name, device))
        there = "cpu" if device == "cpu" or not works else "cuda:0"
        return network.Network(None, type("Session", (), {"device": there})())

    monkeypatch.setattr(network, "open_network", open_network)
    monkeypatch.setattr(network, "int8_is_fast", lambda: True)
    monkeypatch.setattr(cuda, "gpu_visible", lambda: True)
    works = True
    for device in ("auto", "cuda"):
        open_model("tiny", device)
    assert asked == [("tiny.onnx", "auto"), ("tiny.onnx", "cuda")]
    asked.clear()
    works = False  # and auto falls back
    open_model("tiny", "auto")
    assert asked == [("tiny.onnx", "auto"), ("tiny.int8.onnx", "cpu")]


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
def test_int8_on_a_gpu(both: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=rf"int8 runs on the CPU, not on '{device}'; give device='cpu'"):
        open_model("tiny", device, precision="int8")


@pytest.mark.parametrize("wrong", ["int4", "", None, 8])
def test_unknown_precision(both: Path, wrong: Any) -> None:
    with pytest.raises(DeviceError, match="is unknown; give 'auto', 'float32' or 'int8'"):
        open_model("tiny", "cpu", precision=wrong)


def test_a_model_without_int8(both: Path) -> None:
    with pytest.raises(ModelError, match="'tiny-prompt' has no int8 weights here; those with both are: tiny"):
        open_model("tiny-prompt", "cpu", precision="int8")


def test_no_model_with_int8(weights: Path) -> None:
    with pytest.raises(ModelError, match="'tiny' has no int8 weights here; no installed model has both"):
        open_model("tiny", "auto", precision="int8")


def test_files_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "int8_is_fast", lambda: True)
    onnx.save(build_model(), tmp_path / "model.onnx")
    (tmp_path / "model.int8.onnx").write_bytes(quantised())
    for wanted, found in (("auto", "int8"), ("int8", "int8"), ("float32", "float32")):
        assert open_model(tmp_path, "cpu", 1, wanted).manifest.precision == found
    for wanted in ("auto", "int8"):
        assert open_model(tmp_path / "model.int8.onnx", "cpu", 1, wanted).manifest.precision == "int8"
    with pytest.raises(ModelError, match="no float32 weights here"):
        open_model(tmp_path / "model.int8.onnx", "cpu", 1, "float32")


def test_int8_weights_are_verified(both: Path) -> None:
    (both / "tiny.int8.onnx").write_bytes(quantised(version="2.0"))
    with pytest.raises(ModelError, match=r"tiny\.int8\.onnx is not the file .*wrong sha256"):
        open_model("tiny", "cpu", precision="int8")
    assert open_model("tiny", "cpu", precision="float32").manifest.version == "1.0"


def test_the_catalog_lists_both(both: Path) -> None:
    info, other = catalog.list_models()
    assert (info.precisions, other.precisions) == (("float32", "int8"), ("float32",))
    assert info.bytes == sum((both / name).stat().st_size for name in ("tiny.onnx", "tiny.int8.onnx"))
    assert catalog.quantised() == ["tiny"]


@pytest.mark.parametrize("harm", [{"files": [{}]}, {"files": []}, {"files": [], "manifest": 1}, 3])
def test_a_damaged_index(both: Path, harm: Any) -> None:
    index = json.loads((both / "index.json").read_text())
    index["models"]["tiny"]["int8"] = harm
    (both / "index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="is damaged; reinstall"):
        catalog.find("tiny")


@pytest.mark.parametrize("fast", [True, False])
def test_doctor_and_models_tell(
    run: Callable[..., Any], both: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    from petseg.engine import diagnosis

    monkeypatch.setattr(diagnosis, "int8_is_fast", lambda: fast)
    said = run("doctor").stdout
    assert f"sound, {'int8' if fast else 'float32'} on the CPU, {both / 'tiny.onnx'}" in said
    assert f"sound, float32 on the CPU, {both / 'tiny-prompt'}" in said
    document = json.loads(run("doctor", "--json").stdout)
    assert document["int8"] is fast
    assert [weights["precision"] for weights in document["weights"]] == [
        "int8" if fast else "float32",
        "float32",
    ]
    (both / "tiny.int8.onnx").unlink()
    assert "weights of 'tiny' cannot be read" in run("doctor").stdout
    assert "float32, int8" in run("models").stdout


def test_command_line(run: Callable[..., Any], both: Path, folder: Path, put: Any, tmp_path: Path) -> None:
    path = put(folder / "x.png")
    for wanted in ("float32", "int8"):
        out = tmp_path / f"{wanted}.json"
        assert run("segment", path, "-o", out, "--model", "tiny", "--precision", wanted).exit_code == 0
        assert json.loads(out.read_text())["precision"] == wanted
    refused = run("segment", path, "-o", out, "--model", "tiny-prompt", "--precision", "int8")
    assert refused.exit_code == 1
    assert run("segment", path, "-o", out, "--precision", "int4").exit_code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/cpuinfo")
def test_this_machine() -> None:
    words = Path("/proc/cpuinfo").read_text().split()
    assert int8_is_fast() == any(flag in words for flag in ("avx512_vnni", "avx_vnni", "asimddp"))
