"""CUDA, faked where ONNX Runtime begins: no test here needs a GPU."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import onnxruntime
import pytest
from tiny_models import build_model

from petseg import cuda, runtime
from petseg.errors import DeviceError, ModelError
from petseg.runtime import DeviceWarning, describe, open_session


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sessions and no warnings so far."""
    monkeypatch.setattr(runtime, "_slots", {})
    monkeypatch.setattr(runtime, "_warned", False)


class FakeRuntime:
    """onnxruntime whose CUDA does as it is told: "absent", "silent" (CPU instead), "raises" or "works"."""

    def __init__(self, cuda_is: str, folder: Path) -> None:
        self.cuda_is = cuda_is
        self.attempts = 0
        self.severities: list[int] = []
        self.__file__ = str(folder / "__init__.py")
        (folder / "capi").mkdir()

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return ([] if self.cuda_is == "absent" else ["CUDAExecutionProvider"]) + ["CPUExecutionProvider"]

    def set_default_logger_severity(self, severity: int) -> None:
        self.severities.append(severity)

    def preload_dlls(self) -> None:
        print("Failed to load something")

    def InferenceSession(self, model: bytes, options: Any, providers: list[Any], **_: Any) -> Any:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if providers == ["CPUExecutionProvider"]:
            return session
        self.attempts += 1
        if self.cuda_is == "raises":
            raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient")
        if self.cuda_is == "silent":
            return session
        return SimpleNamespace(
            get_providers=lambda: [providers[0][0], "CPUExecutionProvider"],
            disable_fallback=lambda: None,
            device_id=providers[0][1]["device_id"],
            **{
                name: getattr(session, name) for name in ("get_modelmeta", "get_inputs", "get_outputs", "run")
            },
        )


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRuntime]:
    def install(cuda_is: str, gpu: bool = True) -> FakeRuntime:
        module = FakeRuntime(cuda_is, tmp_path)
        monkeypatch.setattr(runtime, "_onnxruntime", lambda: module)
        monkeypatch.setattr(cuda, "gpu_visible", lambda: gpu)
        return module

    return install


def break_library(folder: Path) -> None:
    (folder / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"no library")


def test_cuda_that_works(model_path: Path, fake: Callable[..., FakeRuntime]) -> None:
    module = fake("works")
    session = open_session(model_path, "cuda")
    assert session.device == "cuda:0"
    assert open_session(model_path, "auto") is session
    assert open_session(model_path, "cuda:0") is session
    other = open_session(model_path, "cuda:3")
    assert (other.device, other._session.device_id) == ("cuda:3", "3")
    assert module.severities[-1] == 2


def test_cuda_not_built_in(
    model_path: Path, fake: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("absent")
    monkeypatch.setattr(cuda, "installed_packages", lambda: {"onnxruntime": "1.30"})
    with pytest.raises(DeviceError, match=r"onnxruntime 1.30 is built without CUDA; .*pip install"):
        open_session(model_path, "cuda")
    both = {"onnxruntime": "1.30", "onnxruntime-gpu": "1.31"}
    monkeypatch.setattr(cuda, "installed_packages", lambda: both)
    with pytest.raises(DeviceError, match=r"both installed and overwrite.*pip uninstall -y onnxruntime onnx"):
        open_session(model_path, "cuda")


def test_cuda_that_silently_becomes_cpu_names_the_library(
    model_path: Path, tmp_path: Path, fake: Callable[..., FakeRuntime], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("silent")
    break_library(tmp_path)
    with pytest.raises(DeviceError, match=r"providers_cuda\.so: (file too short|invalid ELF header)"):
        open_session(model_path, "cuda")
    assert capsys.readouterr().out == ""  # what preload_dlls prints is not for the user's stdout


def test_cuda_that_silently_becomes_cpu_without_a_word(
    model_path: Path, fake: Callable[..., FakeRuntime]
) -> None:
    fake("silent")
    with pytest.raises(DeviceError, match=r"Failed to load something; see petseg doctor"):
        open_session(model_path, "cuda")


def test_cuda_that_raises(model_path: Path, fake: Callable[..., FakeRuntime]) -> None:
    fake("raises")
    with pytest.raises(DeviceError, match=r"CUDA failure 35.*install or update the NVIDIA driver"):
        open_session(model_path, "cuda")


def test_cuda_without_a_gpu(model_path: Path, fake: Callable[..., FakeRuntime]) -> None:
    fake("raises", gpu=False)
    with pytest.raises(DeviceError, match=r"no NVIDIA GPU is visible.*CUDA failure 35.*use device='cpu'"):
        open_session(model_path, "cuda")


@pytest.mark.parametrize(
    ("cause", "fix"),
    [
        ("libcublasLt.so.13: cannot open shared object file", "pip install 'petseg[cuda]'"),
        ("libcuda.so.1: cannot open shared object file", "NVIDIA driver"),
        ("CUDA failure 2: out of memory", "see petseg doctor"),
    ],
)
def test_fix_follows_the_cause(cause: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "gpu_visible", lambda: True)
    error = cuda._explain(cause)
    assert error.problem == cause
    assert fix in error.fix


@pytest.mark.parametrize("cuda_is", ["absent", "silent", "raises"])
def test_auto_warns_once_with_the_cause_and_goes_on(
    cuda_is: str, model_path: Path, prompt_model_path: Path, fake: Callable[..., FakeRuntime]
) -> None:
    fake(cuda_is)
    other_path = prompt_model_path / "encoder.onnx"
    with pytest.warns(DeviceWarning, match=r"CUDA cannot be used: .+; .+ Going on with the CPU") as caught:
        session, *_ = (open_session(path, "auto") for path in (model_path, model_path, other_path))
    assert len(caught) == 1
    assert session.device == "cpu"
    assert open_session(model_path, "cpu") is session


def test_auto_without_a_gpu_is_quiet(model_path: Path, fake: Callable[..., FakeRuntime]) -> None:
    module = fake("raises", gpu=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_session(model_path, "auto").device == "cpu"
    assert module.attempts == 0


def test_auto_does_not_hide_a_damaged_model(tmp_path: Path, fake: Callable[..., FakeRuntime]) -> None:
    fake("raises")
    model = build_model()
    model.graph.node[0].op_type = "Frobnicate"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="Frobnicate"):
        open_session(tmp_path / "model.onnx", "auto")


# -- what is visible ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "tool", "visible"),
    [(None, "/usr/bin/nvidia-smi", True), ("", "x", False), ("-1", "x", False), ("0", "x", True)],
)
def test_gpu_visible(hidden: str | None, tool: str, visible: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda.shutil, "which", lambda _: tool)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert cuda.gpu_visible() is visible


def test_describe_here() -> None:
    diagnosis = describe()
    assert "CPUExecutionProvider" in diagnosis.starting
    assert "CPUExecutionProvider" in diagnosis.compiled
    assert diagnosis.packages.keys() & {"onnxruntime", "onnxruntime-gpu"}
    assert (diagnosis.cuda is None) == ("CUDAExecutionProvider" in diagnosis.starting)
    assert diagnosis.python.startswith("3.")


def test_describe_a_gpu_that_does_not_start(fake: Callable[..., FakeRuntime]) -> None:
    fake("raises")
    diagnosis = describe()
    assert diagnosis.starting == ("CPUExecutionProvider",)
    assert diagnosis.compiled[0] == "CUDAExecutionProvider"
    assert diagnosis.cuda in diagnosis.faults
    assert "CUDA failure 35" in diagnosis.cuda.problem
    assert "driver" in diagnosis.cuda.fix


def test_describe_a_machine_without_a_gpu(fake: Callable[..., FakeRuntime]) -> None:
    fake("raises", gpu=False)
    diagnosis = describe()
    assert diagnosis.cuda is not None
    assert diagnosis.faults == ()  # nothing to repair


def test_describe_both_packages(fake: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch) -> None:
    fake("works")
    both = {"onnxruntime": "1.30", "onnxruntime-gpu": "1.31"}
    monkeypatch.setattr(cuda, "installed_packages", lambda: both)
    (fault,) = describe().faults
    assert "onnxruntime 1.30 and onnxruntime-gpu 1.31 are both installed" in fault.problem
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in fault.fix
