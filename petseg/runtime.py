"""ONNX Runtime behind one door: which device, how many threads, one session per model.

`onnxruntime` is imported when the first model is opened, never before.
"""

import hashlib
import importlib.metadata
import os
import platform
import re
import stat
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg import cuda, onnxfile
from petseg.errors import DeviceError, ModelError
from petseg.manifest import EXPORT_AGAIN, FEATURES, Manifest, check_contract

MAX_THREADS = 1024
MAX_BYTES = 2**31 - 1
"""No protobuf message, so no ONNX file in one piece, is larger."""
_REINSTALL = "reinstall petseg: pip install --force-reinstall petseg"


class DeviceWarning(UserWarning):
    """A GPU is there and `device="auto"` could not use it."""


@dataclass(frozen=True, eq=False)
class Session:
    """A loaded graph. It keeps no state between runs, so any number of threads may share it.

    Attributes:
        path: the file it came from.
        manifest: what the graph says about itself.
        device: where it really runs: "cpu", "cuda:N" or "tensorrt:N".
    """

    path: Path
    manifest: Manifest
    device: str
    _session: Any = field(repr=False)

    @property
    def features(self) -> dict[str, list[int]]:
        """Name -> shape without the batch of what an encoder gives or a decoder takes."""
        values = (*self._session.get_inputs(), *self._session.get_outputs())
        return {value.name: value.shape[1:] for value in values if value.name.startswith(FEATURES)}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the graph.

        Args:
            inputs: name -> (B, ...), as the contract says for this part of a model.

        Returns:
            Name -> (B, ...) float32, for every output.

        Raises:
            DeviceError: the device gave up, for want of memory say.
            ModelError: the network answered with NaN or infinity.
        """
        names = [value.name for value in self._session.get_outputs()]
        try:
            if self.device == "cpu":
                values = self._session.run(names, dict(inputs))
            else:
                values = cuda.run(_onnxruntime(), self._session, inputs, names, self.device)
            outputs = dict(zip(names, values, strict=True))
        except Exception as error:
            batch = len(next(iter(inputs.values()), ()))
            raise DeviceError(
                f"{self.path} failed on {self.device} with a batch of {batch}: {cuda.one_line(error)}; "
                "try a smaller batch, or device='cpu'"
            ) from error
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise ModelError(f"{self.path} answered with NaN or infinity on {self.device}; {EXPORT_AGAIN}")
        return outputs


@dataclass
class _Slot:
    """Room for one session; its lock makes threads that race for it wait for the first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stamp: object = None
    session: Session | None = None


_slots: dict[tuple[Path, str, int], _Slot] = {}
_slots_lock = threading.Lock()
_warned = False


def open_session(
    path: str | os.PathLike[str], device: str = "auto", threads: int = 0, *, sha256: str | None = None
) -> Session:
    """Open a graph, or take the session that is open already. `petseg.network` opens whole models.

    Args:
        path: an .onnx file that keeps the contract.
        device: "cpu", "cuda", "cuda:N", "tensorrt", "tensorrt:N" (in fp16; compiles for minutes for each
            batch size), or "auto": CUDA if there is a GPU that works, else the CPU, with one `DeviceWarning`
            per process where a GPU is there and does not work.
        threads: for the CPU; 0 is the runtime's own choice, all cores.
        sha256: what the file must hash to; None takes any.

    Returns:
        The one session for this file, device and threads; a file that changed is opened anew.

    Raises:
        DeviceError: unknown device or number of threads, or CUDA did not start.
        ModelError: no such file, damaged, or not a model that keeps the contract.
    """
    device = _check_device(device)
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= MAX_THREADS:
        raise DeviceError(f"threads is {threads!r}; give 0 (all cores) or a number up to {MAX_THREADS}")
    path, state = _identify(path)
    stamp = state, sha256
    with _slots_lock:
        slot = _slots.setdefault((path, device, threads), _Slot())
    with slot.lock:
        if slot.session is None or slot.stamp != stamp:
            slot.session = _open(path, device, threads, sha256)
            slot.stamp = stamp
        return slot.session


def _check_device(device: str) -> str:
    if device in ("auto", "cpu"):
        return device
    match = re.fullmatch(r"(cuda|tensorrt)(?::(\d{1,3}))?", device) if isinstance(device, str) else None
    if match is None:
        raise DeviceError(
            f"device {device!r} is unknown; give 'auto', 'cpu', 'cuda', 'cuda:N', 'tensorrt' or 'tensorrt:N'"
        )
    return f"{match[1]}:{int(match[2] or 0)}"


def _identify(path: str | os.PathLike[str]) -> tuple[Path, tuple[int, int, int]]:
    """The file's one true path, and what changes when the file does."""
    try:
        true_path = Path(os.path.realpath(path))
        status = true_path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"model file {str(path)!r} cannot be read ({reason}); check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"model file {str(path)!r} is no regular file; give the path of an .onnx file")
    return true_path, (status.st_mtime_ns, status.st_size, status.st_ino)


def _open(path: Path, device: str, threads: int, sha256: str | None) -> Session:
    if device == "auto":
        if cuda.gpu_visible():
            try:
                return open_session(path, "cuda", threads, sha256=sha256)
            except cuda.CudaError as error:
                _warn_once(error)
        return open_session(path, "cpu", threads, sha256=sha256)
    model = _read(path, sha256)
    session = _start(model, path, device, threads)
    return Session(path, check_contract(session, f"model file {str(path)!r}"), device, session)


def _warn_once(error: cuda.CudaError) -> None:
    global _warned
    with _slots_lock:
        first, _warned = not _warned, True
    if first:
        warnings.warn(f"{error}. Going on with the CPU.", DeviceWarning, stacklevel=2)


def _read(path: Path, sha256: str | None) -> bytes:
    """The file's bytes, verified. Everything is loaded from them, so nothing can change in between."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} is larger than any ONNX file; {EXPORT_AGAIN}")
        model = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model file {str(path)!r} cannot be read ({error.strerror})") from error
    if sha256 is not None and hashlib.sha256(model).hexdigest() != sha256:
        raise ModelError(
            f"{path} is not the file that this petseg was published with (wrong sha256); {_REINSTALL}"
        )
    try:
        external = onnxfile.has_external_data(model)
    except ValueError as error:
        raise ModelError(f"{path} is damaged or no ONNX file ({error}); {EXPORT_AGAIN}") from error
    if external:
        raise ModelError(f"{path} keeps weights in other files; export it as one self-contained file")
    return model


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(f"onnxruntime cannot be imported ({error}); {_REINSTALL}") from error
    return onnxruntime


def _start(model: bytes, path: Path | str, device: str, threads: int) -> Any:
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised; the log would only repeat it
    # Threads may spin within a run (a quarter faster), but not on into the caller's own work.
    options.add_session_config_entry("session.force_spinning_stop", "1")

    def on_cpu() -> Any:
        try:
            # A second attempt on the same provider would only be announced on the standard output.
            return onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:
            raise ModelError(
                f"{path} is damaged or no ONNX model ({cuda.one_line(error)}); {EXPORT_AGAIN}"
            ) from error

    if device == "cpu":
        return on_cpu()
    try:
        return cuda.start(onnxruntime, model, options, device)
    except cuda.CudaError:
        on_cpu()  # a damaged model fails here as well, and then that is the error to report
        raise


@dataclass(frozen=True)
class Fault:
    """Something wrong with an installation, and what to do about it."""

    problem: str
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What would run where.

    Attributes:
        petseg, python, platform: versions.
        packages: installed distributions of ONNX Runtime, name -> version.
        compiled: providers that the build of ONNX Runtime knows.
        starting: of the two that petseg uses (CUDA, CPU), those that ran a tiny model just now.
        gpu_visible: whether an NVIDIA GPU seems to be there.
        cuda: why CUDA does not start; None where it does.
        faults: what should be repaired. CUDA is among them only where a GPU is visible.
    """

    petseg: str
    python: str
    platform: str
    packages: dict[str, str]
    compiled: tuple[str, ...]
    starting: tuple[str, ...]
    gpu_visible: bool
    cuda: Fault | None
    faults: tuple[Fault, ...]


_PROBE = (
    b'\x08\x08:5\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""The ONNX model y = x + x, of one float each."""


def version() -> str:
    """The installed petseg, or "unknown" where it runs from a checkout that is not installed."""
    try:
        return importlib.metadata.version("petseg")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def describe() -> Diagnosis:
    """Examine the installation by running a tiny model on each device that petseg uses."""
    conflict, visible = cuda.package_conflict(), cuda.gpu_visible()
    faults = [Fault(conflict.problem, conflict.fix)] if conflict else []
    cpu, gpu = _probe("cpu"), _probe("cuda:0")
    if cpu:
        faults.append(cpu)
    if gpu and visible:
        faults.append(gpu)
    starting = ((cuda.PROVIDER, gpu), ("CPUExecutionProvider", cpu))
    return Diagnosis(
        petseg=version(),
        python=platform.python_version(),
        platform=platform.platform(),
        packages=cuda.installed_packages(),
        compiled=_compiled(),
        starting=tuple(provider for provider, fault in starting if fault is None),
        gpu_visible=visible,
        cuda=gpu,
        faults=tuple(faults),
    )


def _compiled() -> tuple[str, ...]:
    try:
        return tuple(_onnxruntime().get_available_providers())
    except DeviceError:
        return ()


def _probe(device: str) -> Fault | None:
    """Why nothing runs on a device; None if it does."""
    try:
        _start(_PROBE, "the probe", device, 1).run(None, {"x": np.zeros(1, np.float32)})
    except cuda.CudaError as error:
        return Fault(error.problem, error.fix)
    except Exception as error:
        return Fault(f"nothing runs on {device}: {error}", _REINSTALL)
    return None
