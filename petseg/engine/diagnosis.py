"""What `petseg doctor` finds out: the installation, the devices, the embedded weights."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from petseg.engine import session
from petseg.engine.precision import int8_is_fast
from petseg.engine.session import Diagnosis, Fault
from petseg.errors import ModelError
from petseg.models import catalog, resources
from petseg.models.catalog import ModelFile, ModelInfo

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_REINSTALL = "reinstall petseg: pip install --force-reinstall petseg"


@dataclass(frozen=True)
class Weights:
    """An embedded model.

    Attributes:
        name: of the model.
        path: of its file or folder.
        precision: what it runs in on this machine's CPU by default, "float32" or "int8".
        fault: what is wrong with its files, if anything.
    """

    name: str
    path: Path
    precision: str
    fault: Fault | None


@dataclass(frozen=True)
class Checkup:
    """All that was found.

    Attributes:
        runtime: ONNX Runtime and the devices.
        int8: whether the CPU is known to have instructions that make int8 pay.
        weights: the embedded models.
        problems: what is broken and how to mend it. A GPU that cannot be used is none: the CPU does it.
    """

    runtime: Diagnosis
    int8: bool
    weights: list[Weights]
    problems: list[Fault]

    @property
    def device(self) -> str | None:
        """What `device="auto"` takes: "cuda", "cpu", or None where nothing runs."""
        if self.runtime.gpu_visible and _CUDA in self.runtime.starting:
            return "cuda"
        return "cpu" if _CPU in self.runtime.starting else None

    def document(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"ok": not self.problems, "device": self.device, **asdict(self)}

    def text(self) -> str:
        """The same in words."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        found, device = self.runtime, self.device
        yield f"petseg {found.petseg}, Python {found.python}, {found.platform}"
        packages = " and ".join(f"{name} {version}" for name, version in found.packages.items())
        yield f"installed:     {packages or 'no onnxruntime package'}"
        yield f"compiled in:   {', '.join(found.compiled) or 'nothing'}"
        yield f"really start:  {', '.join(found.starting) or 'none'}"
        where = {"cuda": "on the GPU", "cpu": "on the CPU", None: "nowhere"}[device]
        yield f"petseg runs:   {where}"
        if found.cuda:
            yield "GPU:           not used"
            yield f"      cause:   {found.cuda.problem}"
            yield f"      fix:     {found.cuda.fix}"
        chosen = "int8, where the model has such weights" if self.int8 else "float32"
        yield f"on the CPU:    {chosen}"
        for weights in self.weights:
            state = "damaged" if weights.fault else "sound"
            yield f"model {weights.name + ':':<9}{state}, {weights.precision} on the CPU, {weights.path}"
        for problem in self.problems:
            yield f"PROBLEM:       {problem.problem}"
            yield f"      fix:     {problem.fix}"
        if not self.problems:
            yield "Nothing is broken."


def examine() -> Checkup:
    """Examine everything. Takes about a second, since tiny models are run."""
    found = session.describe()
    # CUDA is no problem by itself, but the cause of its failure may be one: two packages at once.
    problems = [fault for fault in found.faults if fault != found.cuda or len(found.packages) > 1]
    weights: list[Weights] = []
    try:
        weights = [_examine_weights(info) for info in catalog.embedded_models()]
        if not weights:
            problems.append(Fault(f"there are no embedded models in {catalog.WEIGHTS}", _REINSTALL))
    except ModelError as error:
        problems.append(Fault(str(error), _REINSTALL))
    problems += [entry.fault for entry in weights if entry.fault]
    return Checkup(found, int8_is_fast(), weights, list(dict.fromkeys(problems)))


def _examine_weights(info: ModelInfo) -> Weights:
    found = catalog.find(info.name)
    faults = [_examine_file(info.name, file) for file in (*found.float32, *found.int8)]
    precision = "int8" if found.int8 and int8_is_fast() else "float32"
    return Weights(info.name, info.path, precision, next(filter(None, faults), None))


def _examine_file(name: str, file: ModelFile) -> Fault | None:
    try:
        sha256 = hashlib.sha256(resources.read_bytes(file.path)).hexdigest()
    except OSError as error:
        return Fault(f"the weights of {name!r} cannot be read: {file.path} ({error.strerror})", _REINSTALL)
    if file.sha256 not in (None, sha256):
        return Fault(
            f"the weights of {name!r} are damaged: {file.path} has sha256 {sha256}, "
            f"should have {file.sha256}",
            _REINSTALL,
        )
    return None
