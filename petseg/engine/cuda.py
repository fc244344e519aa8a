"""Sessions on an NVIDIA GPU, and the true cause when there are none.

ONNX Runtime falls back to the CPU with no more than a line on stderr; here that is an error that says
which library is missing, or what the driver answered.
"""

import contextlib
import ctypes
import importlib.metadata
import io
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.errors import DeviceError

PROVIDER = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_NAMES = {PROVIDER: "CUDA", TENSORRT: "TensorRT"}
_PACKAGES = ("onnxruntime", "onnxruntime-gpu")
_ONE_RUNTIME = "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu"
_ONE_AT_A_TIME = threading.Lock()
_user: int | None = None
"""The process that uses CUDA; those that are forked from it cannot."""


class CudaError(DeviceError):
    """CUDA was asked for and did not start.

    Attributes:
        problem: the cause.
        fix: what to do about it.
        asked: what was asked for, "CUDA" or "TensorRT".
    """

    asked = "CUDA"

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem, fix)
        self.problem, self.fix = problem, fix

    def __str__(self) -> str:
        return f"{self.asked} cannot be used: {self.problem}; {self.fix}"


def installed_packages() -> dict[str, str]:
    """Name -> version of the installed distributions that provide `import onnxruntime`."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def package_conflict() -> CudaError | None:
    """Both packages at once: they overwrite each other's files, and the CPU one often wins."""
    packages = installed_packages()
    if len(packages) < 2:
        return None
    both = " and ".join(f"{name} {version}" for name, version in packages.items())
    return CudaError(f"{both} are both installed and overwrite each other's files", _ONE_RUNTIME)


def gpu_visible() -> bool:
    """Whether an NVIDIA GPU seems to be there and not hidden by CUDA_VISIBLE_DEVICES."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None


def start(onnxruntime: Any, model: bytes, options: Any, device: str) -> Any:
    """Start a session on one GPU, or say why not.

    Args:
        onnxruntime: the module.
        model: a serialised ONNX model.
        options: `onnxruntime.SessionOptions`.
        device: "cuda:N", or "tensorrt:N", which leaves to CUDA what TensorRT cannot do.

    Returns:
        An `onnxruntime.InferenceSession` that did end up on the GPU.

    Raises:
        CudaError: it did not, with the cause and the fix. A damaged model ends here too.
    """
    try:
        return _start(onnxruntime, model, options, device)
    except CudaError as error:
        error.asked = _NAMES[_providers(device)[0][0]]
        raise


def forget() -> None:
    """Let any process use CUDA; for tests."""
    global _user
    _user = None


def _start(onnxruntime: Any, model: bytes, options: Any, device: str) -> Any:
    """As `start`."""
    global _user
    if _user not in (None, os.getpid()):
        raise CudaError(
            "this process was forked from one that uses it",
            "start processes with multiprocessing.get_context('spawn'), or use device='cpu'",
        )
    providers = _providers(device)
    wanted = providers[0][0]
    if wanted not in onnxruntime.get_available_providers():
        installed = " and ".join(f"{name} {version}" for name, version in installed_packages().items())
        raise package_conflict() or CudaError(
            f"the installed {installed or 'onnxruntime'} is built without {_NAMES[wanted]}", _ONE_RUNTIME
        )
    try:
        with _quiet(onnxruntime) as said:
            session = onnxruntime.InferenceSession(
                model, options, providers=[*providers, "CPUExecutionProvider"], enable_fallback=0
            )
    except Exception as error:
        raise _explain(one_line(error)) from error
    if wanted not in session.get_providers():
        silence = f"ONNX Runtime went on without {_NAMES[wanted]} and gave no reason"
        raise _explain(_loader_error(onnxruntime, wanted) or one_line(said.getvalue()) or silence)
    _user = os.getpid()
    session.disable_fallback()  # else a failing run would print and go on with the CPU
    return session


def _providers(device: str) -> list[tuple[str, dict[str, str]]]:
    """What is to run a model, the best first, with the options of each."""
    kind, _, index = device.partition(":")
    # Heuristic, since the default times every convolution anew for each batch size it meets.
    cuda = (PROVIDER, {"device_id": index, "cudnn_conv_algo_search": "HEURISTIC"})
    if kind == "cuda":
        return [cuda]
    # TensorRT compiles the graph anew for each batch size, which takes minutes: what it makes is kept.
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "petseg" / "tensorrt"
    tensorrt = {
        "device_id": index,
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(kept),
    }
    return [(TENSORRT, tensorrt), cuda]


def run(
    onnxruntime: Any, session: Any, inputs: Mapping[str, NDArray[Any]], names: Sequence[str], device: str
) -> list[NDArray[Any]]:
    """Run a session with everything bound to the GPU's memory: one copy there, one copy back.

    Args:
        onnxruntime: the module.
        session: as `start` gives it.
        inputs: name -> values.
        names: of the outputs.
        device: as for `start`.

    Returns:
        The outputs, in the order of `names`.
    """
    where = "cuda", int(device.partition(":")[2])  # TensorRT's memory is CUDA's
    binding = session.io_binding()
    for name, values in inputs.items():
        there = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values), *where)
        binding.bind_ortvalue_input(name, there)
    for name in names:
        binding.bind_output(name, *where)
    session.run_with_iobinding(binding)
    return list(binding.copy_outputs_to_cpu())


def one_line(message: object) -> str:
    """What ONNX Runtime says over several lines, on one."""
    return " ".join(str(message).split())


@contextlib.contextmanager
def _quiet(onnxruntime: Any) -> Iterator[io.StringIO]:
    """Find pip's CUDA libraries, and keep ONNX Runtime from reporting beside the error we raise.

    `preload_dlls` and older sessions print to stdout, which is caught and handed over; the loader logs
    to stderr through the process's default logger. Both belong to the whole process, hence one thread
    at a time.
    """
    with _ONE_AT_A_TIME, contextlib.redirect_stdout(io.StringIO()) as said:
        onnxruntime.set_default_logger_severity(4)
        try:
            if hasattr(onnxruntime, "preload_dlls"):
                with contextlib.suppress(Exception):
                    onnxruntime.preload_dlls()
            yield said
        finally:
            onnxruntime.set_default_logger_severity(2)  # its default; there is no way to ask for the current


def _loader_error(onnxruntime: Any, provider: str) -> str | None:
    """What the system says on loading a provider's library; None if it loads.

    Only ever asked after ONNX Runtime tried by itself: a provider library that something else loads
    first never finds its host.
    """
    folder = Path(onnxruntime.__file__).parent / "capi"
    for library in sorted(folder.glob(f"*onnxruntime_providers_{_NAMES[provider].lower()}.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            return str(error)
    return None


def _explain(cause: str) -> CudaError:
    if not gpu_visible():
        return CudaError(
            "no NVIDIA GPU is visible here (no /dev/nvidia*, no nvidia-smi, or CUDA_VISIBLE_DEVICES hides "
            f"it), and starting it anyway gave: {cause}",
            "use device='cpu', or hand the GPU to this container (docker run --gpus all)",
        )
    if "libcuda.so" in cause or "driver" in cause.lower():
        return CudaError(cause, "install or update the NVIDIA driver, or use device='cpu'")
    if "nvinfer" in cause:
        fix = "install TensorRT, and let LD_LIBRARY_PATH name its libraries, or use device='cuda'"
        return CudaError(cause, fix)
    if "cannot open shared object" in cause or "Could not find module" in cause:
        return CudaError(cause, "install the CUDA libraries: pip install 'petseg[cuda]', or use device='cpu'")
    return CudaError(cause, "see petseg doctor, or use device='cpu'")
