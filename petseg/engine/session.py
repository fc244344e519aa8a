"""ONNX Runtime behind one door: which device, how many threads, one session per model.

`onnxruntime` is imported when the first model is opened, never before.
"""

import ctypes
import hashlib
import os
import platform
import re
import stat
import sys
import threading
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.engine import cuda
from petseg.errors import DeviceError, ModelError
from petseg.models import onnxfile, resources
from petseg.models.manifest import EXPORT_AGAIN, FEATURES, Manifest, check_contract
from petseg.version import version

MAX_THREADS = 1024
MAX_BYTES = 2**31 - 1
"""No protobuf message, so no ONNX file in one piece, is larger."""
_REINSTALL = "reinstall petseg: pip install --force-reinstall petseg"


class DeviceWarning(UserWarning):
    """A GPU is there and `device="auto"` could not use it."""


@dataclass(eq=False)
class Session:
    """A loaded graph. It keeps no state between runs, so any number of threads may share it.

    Other processes may have it too: where it is unpickled, and in a forked process, it opens its file again.

    Attributes:
        path: the file it came from.
        manifest: what the graph says about itself.
        device: where it really runs: "cpu", "cuda:N" or "tensorrt:N".
        threads: what it was opened with.
        sha256: of the file's bytes.
    """

    path: Path
    manifest: Manifest
    device: str
    threads: int
    sha256: str
    _session: Any = field(repr=False)
    """ONNX Runtime's; None in a forked process, until it is needed there."""

    def __post_init__(self) -> None:
        _alive.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_same, (self.path, self.device, self.threads, self.sha256)

    @property
    def _started(self) -> Any:
        """ONNX Runtime's session."""
        session = self._session
        if session is None:
            session = self._session = open_same(self.path, self.device, self.threads, self.sha256)._started
        return session

    @property
    def features(self) -> dict[str, list[int]]:
        """Name -> shape without the batch of what an encoder gives or a decoder takes."""
        values = (*self._started.get_inputs(), *self._started.get_outputs())
        return {value.name: value.shape[1:] for value in values if value.name.startswith(FEATURES)}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Run the graph.

        Args:
            inputs: name -> (B, ...), as the contract says for this part of a model.

        Returns:
            Name -> (B, ...) float32, for every output.

        Raises:
            DeviceError: the device gave up, for want of memory say.
            ModelError: the network answered with NaN or infinity; or, in a forked process, the file has
                changed since.
        """
        session = self._started
        names = [value.name for value in session.get_outputs()]
        try:
            if self.device == "cpu":
                values = session.run(names, dict(inputs))
            else:
                values = cuda.run(_onnxruntime(), session, inputs, names, self.device)
            # Copies: what is given back to ONNX Runtime in a forked process may wait for ever.
            outputs = dict(zip(names, map(np.array, values), strict=True))
        except Exception as error:
            batch = len(next(iter(inputs.values()), ()))
            raise DeviceError(
                f"{self.path} failed on {self.device} with a batch of {batch}: {cuda.one_line(error)}; "
                "try a smaller batch, or device='cpu'"
            ) from error
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise ModelError(f"{self.path} answered with NaN or infinity on {self.device}; {EXPORT_AGAIN}")
        return outputs


_alive: "weakref.WeakSet[Session]" = weakref.WeakSet()
_opened: dict[tuple[Path, str, int], tuple[object, Session]] = {}
"""Path, device and threads -> the file's state, and the session that was opened from it."""
_opening = threading.RLock()
"""Held while a session is opened: threads that race for it wait for the first. A process forks in between."""
_warned = False


def _begin_in_child() -> None:
    """In a process that was just forked: begin without sessions.

    ONNX Runtime's threads are not here, and whatever it does with what it had may wait for them for ever. So
    the parent's sessions stay in memory, untouched, and the process ends without ONNX Runtime's farewell.
    """
    _opening.release()
    for session in list(_alive):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session._session))
        session._session = None
    _opened.clear()
    libc = ctypes.CDLL(None)
    if "onnxruntime" in sys.modules and hasattr(libc, "on_exit"):  # glibc's
        libc.on_exit(libc._exit, None)  # before all that was registered until now


def forget() -> None:
    """Open each model anew from now on, and warn once more; for tests. Sessions that are in use stay."""
    global _warned
    with _opening:
        _opened.clear()
        _warned = False
    cuda.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_begin_in_child
    )


def open_session(
    path: str | os.PathLike[str], device: str = "auto", threads: int = 0, *, sha256: str | None = None
) -> Session:
    """Open a graph, or take the session that is open already. `petseg.engine.network` opens whole models.

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
    key = path, device, threads

    def kept() -> Session | None:
        before, session = _opened.get(key, (None, None))
        return session if session and before == state and sha256 in (None, session.sha256) else None

    if session := kept():  # whatever else is being opened just now
        return session
    with _opening:
        session = kept() or _open(path, device, threads, sha256)
        _opened[key] = state, session
    return session


def open_same(path: Path, device: str, threads: int, sha256: str) -> Session:
    """Open what was opened before, in another process.

    Raises:
        DeviceError: the device cannot be used in this process.
        ModelError: the file is not there, or not the same any more.
    """
    session = open_session(path, device, threads)
    if session.sha256 != sha256:
        raise ModelError(f"model file {str(path)!r} has changed since it was opened; make a new Segmenter")
    return session


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
        status = resources.status(true_path)
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
    model, digest = _read(path, sha256)
    session = _start(model, path, device, threads)
    manifest = check_contract(session, f"model file {str(path)!r}")
    return Session(path, manifest, device, threads, digest, session)


def _warn_once(error: cuda.CudaError) -> None:
    global _warned
    with _opening:
        first, _warned = not _warned, True
    if first:
        warnings.warn(f"{error}. Going on with the CPU.", DeviceWarning, stacklevel=2)


def _read(path: Path, sha256: str | None) -> tuple[bytes, str]:
    """The file's bytes, verified, and their hash. All is loaded from them: nothing can change in between."""
    try:
        if resources.status(path).st_size > MAX_BYTES:
            raise ModelError(f"{path} is larger than any ONNX file; {EXPORT_AGAIN}")
        model = resources.read_bytes(path)
    except OSError as error:
        raise ModelError(f"model file {str(path)!r} cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(model).hexdigest()
    if sha256 not in (None, digest):
        raise ModelError(
            f"{path} is not the file that this petseg was published with (wrong sha256); {_REINSTALL}"
        )
    try:
        external, ranks = onnxfile.has_external_data(model), onnxfile.input_ranks(model)
    except ValueError as error:
        raise ModelError(f"{path} is damaged or no ONNX file ({error}); {EXPORT_AGAIN}") from error
    if external:
        raise ModelError(f"{path} keeps weights in other files; export it as one self-contained file")
    # Not left to `check_contract`: where such inputs meet, ONNX Runtime before 1.28 ends the process.
    for name in ("image", "prompt"):
        if ranks.get(name, 4) != 4:
            raise ModelError(f"{path}: {name!r} has {ranks[name]} axes, must have 4; {EXPORT_AGAIN}")
    return model, digest


def decline_telemetry() -> None:
    """Before ONNX Runtime is imported: 1.31 and later otherwise record each session, for Microsoft."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _onnxruntime() -> Any:
    decline_telemetry()
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
