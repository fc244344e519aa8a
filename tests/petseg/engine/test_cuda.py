"""CUDA, faked where ONNX Runtime begins: no test here needs a GPU."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from petseg.engine import cuda
from petseg.engine import session as runtime
from petseg.engine.session import DeviceWarning, describe, open_session
from petseg.errors import DeviceError, ModelError
from petseg.segmenter import Segmenter
from tests.support.tiny_models import SIZE, build_model

pytestmark = pytest.mark.usefixtures("fresh_engine")


class FakeBinding:
    """A binding of the CPU's, which notes for what memory it was asked."""

    def __init__(self, binding: Any, bound: list[tuple[Any, ...]]) -> None:
        self.binding, self.bound = binding, bound
        self.bind_ortvalue_input = binding.bind_ortvalue_input
        self.copy_outputs_to_cpu = binding.copy_outputs_to_cpu

    def bind_output(self, name: str, kind: str, index: int) -> None:
        self.bound.append((name, kind, index))
        self.binding.bind_output(name, "cpu")


class FakeRuntime:
    """onnxruntime whose CUDA is "absent", "silent" (CPU instead), "raises", "works", or has "tensorrt"."""

    def __init__(self, cuda_is: str, folder: Path) -> None:
        self.cuda_is = cuda_is
        self.attempts = 0
        self.severities: list[int] = []
        self.providers: list[Any] = []
        self.bound: list[tuple[Any, ...]] = []
        self.OrtValue = SimpleNamespace(ortvalue_from_numpy=self.copy_there)
        self.__file__ = str(folder / "__init__.py")
        (folder / "capi").mkdir()

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        known = {"absent": [], "tensorrt": [cuda.TENSORRT, cuda.PROVIDER]}.get(self.cuda_is, [cuda.PROVIDER])
        return [*known, "CPUExecutionProvider"]

    def copy_there(self, values: Any, kind: str, index: int) -> Any:
        assert values.flags.c_contiguous
        self.bound.append(("copied", kind, index))
        return onnxruntime.OrtValue.ortvalue_from_numpy(values)

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
        self.providers = providers
        return SimpleNamespace(
            get_providers=lambda: [*(name for name, _ in providers[:-1]), "CPUExecutionProvider"],
            disable_fallback=lambda: None,
            device_id=providers[0][1]["device_id"],
            io_binding=lambda: FakeBinding(session.io_binding(), self.bound),
            run_with_iobinding=lambda binding: session.run_with_iobinding(binding.binding),
            **{n: getattr(session, n) for n in ("get_modelmeta", "get_inputs", "get_outputs", "run")},
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


@pytest.mark.parametrize("device", ["cuda:2", "tensorrt:2"])
def test_everything_is_bound_to_the_memory_of_the_gpu(
    model_path: Path, fake: Callable[..., FakeRuntime], device: str
) -> None:
    module = fake("tensorrt")
    images = np.random.default_rng(0).integers(0, 256, (5, SIZE, 3, SIZE), np.uint8).transpose(0, 2, 1, 3)
    expected = open_session(model_path, "cpu").run({"image": images})
    outputs = open_session(model_path, device).run({"image": images})
    assert module.bound == [("copied", "cuda", 2), ("logits", "cuda", 2)]
    np.testing.assert_array_equal(outputs["logits"], expected["logits"])


def test_photos_on_a_gpu_go_in_batches(
    model_path: Path, photo: NDArray[np.uint8], fake: Callable[..., FakeRuntime], runs: list[str]
) -> None:
    fake("works")
    results = list(Segmenter(model_path, device="cuda").map([photo] * 40))
    assert [result.label for result in results] == ["cat"] * 40
    assert len(runs) == 3  # 16, 16 and 8


def test_a_run_that_fails_names_the_batch(model_path: Path, fake: Callable[..., FakeRuntime]) -> None:
    module = fake("works")
    session = open_session(model_path, "cuda")
    module.OrtValue = None
    with pytest.raises(DeviceError, match=r"failed on cuda:0 with a batch of 2: .*try a smaller batch"):
        session.run({"image": np.zeros((2, 3, SIZE, SIZE), np.uint8)})


def test_an_error_names_what_was_asked_for(fake: Callable[..., FakeRuntime], model_path: Path) -> None:
    fake("works")
    with pytest.raises(DeviceError, match=r"^TensorRT cannot be used: .* is built without TensorRT; "):
        open_session(model_path, "tensorrt")


def test_tensorrt(
    model_path: Path, tmp_path: Path, fake: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = fake("tensorrt")
    session = open_session(model_path, "tensorrt")
    assert session.device == "tensorrt:0"
    assert open_session(model_path, "tensorrt:0") is session
    assert open_session(model_path, "cuda") is not session
    (first, options), (second, _), last = open_session(model_path, "tensorrt:1") and module.providers
    assert (first, second, last) == (cuda.TENSORRT, cuda.PROVIDER, "CPUExecutionProvider")
    assert options["device_id"] == "1"
    assert options["trt_engine_cache_path"] == str(tmp_path / "cache" / "petseg" / "tensorrt")


def test_tensorrt_that_is_not_there(
    model_path: Path, tmp_path: Path, fake: Callable[..., FakeRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fake("works")
    with pytest.raises(DeviceError, match="built without TensorRT"):
        open_session(model_path, "tensorrt")
    monkeypatch.setattr(module, "get_available_providers", lambda: [cuda.TENSORRT, cuda.PROVIDER])
    module.cuda_is = "silent"
    (tmp_path / "capi" / "libonnxruntime_providers_tensorrt.so").write_bytes(b"no library")
    with pytest.raises(DeviceError, match=r"providers_tensorrt\.so: (file too short|invalid ELF header)"):
        open_session(model_path, "tensorrt")


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
        ("libnvinfer.so.10: cannot open shared object file", "install TensorRT"),
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
