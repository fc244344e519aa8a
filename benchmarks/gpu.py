"""What a card does for petseg, within ten minutes: `python -m benchmarks.gpu`.

On any machine with CUDA, the package and torch: the card's own ceilings (a copy in its memory, a product of
matrices), whether the embedded models answer there as they do on the CPU, how many photos a second they see
in float32 and in fp16 with inputs and outputs bound to the card's memory, and the steps of training a second.
The model cards read what `--json train/checkpoints/gpu.json` writes.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from export import half
from export.card import markdown
from petseg.engine.network import Network, open_network, planes
from petseg.engine.session import Session
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import card, environment, run_network
from petseg.measure.perturbations import PERTURBATIONS, perturb
from petseg.models import catalog
from petseg.models.catalog import ModelFile
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import load
from train.checkpoint import CHECKPOINTS, load_checkpoint_config, without_start
from train.losses import build_loss
from train.models import build
from train.models.unet import Answer

PHOTO = Path(__file__).parents[1] / "docs" / "chelsea.jpg"
LEVEL = 6
"""Of the damage that makes further photos of one."""
EQUAL = 0.999
"""Share of pixels that must have the CPU's class."""
PRECISIONS = ("float32", "float16")
TRAINED = "unet"


class Effort(NamedTuple):
    """How much is done.

    Attributes:
        seconds: that each figure is timed, at least.
        batches: photos that go together.
        matrix: side of the ceiling's matrices.
        copied: bytes of the ceiling's copy.
        training: photos of a training step.
        side: of their squares, in pixels; None: as the model is trained.
    """

    seconds: float
    batches: tuple[int, ...]
    matrix: int
    copied: int
    training: int
    side: int | None


FULL = Effort(1.0, (1, 16, 64), 8192, 2**30, 32, None)
QUICK = Effort(0.01, (1, 2), 128, 2**20, 2, 64)


def seconds_of(action: Callable[[], Any], effort: Effort) -> float:
    """Median seconds of an action, warmed up and waited for."""
    action()
    timer = Timer("action()", globals={"action": action}, num_threads=torch.get_num_threads())
    return float(timer.blocked_autorange(min_run_time=effort.seconds).median)


def ceilings(device: torch.device, effort: Effort) -> dict[str, float]:
    """What the card can do at most: bytes copied a second (read and written), operations a second."""
    source = torch.zeros(effort.copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found = {"copy_bytes": 2 * effort.copied / seconds_of(lambda: target.copy_(source), effort)}
    for name in PRECISIONS:
        side = effort.matrix
        one = torch.randn(side, side, device=device, dtype=getattr(torch, name))
        found[f"matrix_{name}"] = 2 * side**3 / seconds_of(lambda one=one: one @ one, effort)  # type: ignore[misc]
    return found


def photos() -> list[NDArray[np.uint8]]:
    """A real photo, turned round, and damaged in all eight ways."""
    photo = load(PHOTO)
    damaged = [perturb(photo, kind, LEVEL) for kind in PERTURBATIONS]
    return [photo, np.ascontiguousarray(photo[:, ::-1]), *damaged]


def in_half(files: Sequence[ModelFile], folder: Path) -> list[ModelFile]:
    """A model's files in fp16, written into a folder."""
    found = []
    for file in files:
        target = folder / file.path.name
        if half.main([str(file.path), "-o", str(target), "--force"]):
            raise ValueError(f"{file.path} cannot be converted to fp16")
        found.append(ModelFile(target))
    return found


def bound(session: Session, inputs: dict[str, NDArray[Any]]) -> Callable[[], None]:
    """A run of a graph whose inputs lie in the device's memory already, and whose outputs stay there."""
    kind, _, index = session.device.partition(":")
    started = session._started
    binding = started.io_binding()
    for name, values in inputs.items():
        there = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values), kind, int(index or 0))
        binding.bind_ortvalue_input(name, there)
    for output in started.get_outputs():
        binding.bind_output(output.name, kind, int(index or 0))
    return lambda: started.run_with_iobinding(binding)


def photos_a_second(network: Network, images: NDArray[np.uint8], effort: Effort) -> float:
    """Of a whole network, encoder and decoder, with a prompt where it takes one."""
    inputs: dict[str, NDArray[Any]] = {"image": images}
    seconds = 0.0
    if network.encoder is not None:
        seconds += seconds_of(bound(network.encoder, inputs), effort)
        inputs = dict(network.encoder.run(inputs))
    if network.manifest.prompts:
        size = network.manifest.size
        inputs["prompt"] = np.zeros((len(images), 2, size, size), np.float32)
    seconds += seconds_of(bound(network.decoder, inputs), effort)
    return len(images) / seconds


def operations(name: str) -> float | None:
    """Floating-point operations of a model for one photo, by its checkpoint; None without one."""
    if not (CHECKPOINTS / name).is_dir():
        return None
    config = without_start(load_checkpoint_config(CHECKPOINTS / name))
    with torch.device("meta"):
        model = build(config.model).eval()
    inputs = [example.to("meta") for example in config.model.example(config.data.size).values()]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return float(counter.get_total_flops())


def measure_model(
    name: str, device: str, effort: Effort, ceiling: dict[str, float], folder: Path
) -> dict[str, Any]:
    """A model in both precisions: pixels with the CPU's class, photos a second, share of the ceiling."""
    files = catalog.find(name).float32
    on_cpu = open_network(files, "cpu")
    size, fill = on_cpu.manifest.size, on_cpu.manifest.fill
    seen = photos()
    boxes = [Letterbox.fit(photo.shape[1], photo.shape[0], size) for photo in seen]
    images = planes([box.apply(photo, fill) for box, photo in zip(boxes, seen, strict=True)])
    truth = run_network(on_cpu, images, boxes)
    found: dict[str, Any] = {"operations": operations(name), "photos": len(seen)}
    for precision in PRECISIONS:
        own = list(files) if precision == "float32" else in_half(files, folder / name)
        network = open_network(own, device)
        answer = run_network(network, images, boxes)
        row: dict[str, Any] = {
            "equal": float((answer.argmax(1) == truth.argmax(1)).mean()),
            "largest_difference": float(np.abs(answer - truth).max()),
            "photos_per_second": {},
        }
        for batch in effort.batches:
            rate = photos_a_second(network, np.resize(images, (batch, *images.shape[1:])), effort)
            row["photos_per_second"][str(batch)] = rate
        best = max(row["photos_per_second"].values())
        if found["operations"]:
            row["of_ceiling"] = best * found["operations"] / ceiling[f"matrix_{precision}"]
        found[precision] = row
    return found


def training(device: torch.device, effort: Effort) -> dict[str, Any]:
    """Steps a second of the default model's training, without reading and augmentation."""
    config = without_start(load_checkpoint_config(CHECKPOINTS / TRAINED))
    model, loss = build(config.model).to(device).train(), build_loss(config.loss)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    side = effort.side or config.data.size
    shape = (effort.training, 3, side, side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    labels = torch.randint(0, 3, (shape[0], *shape[2:]), device=device)

    def step(half: bool) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            answer = model(images)
            logits = answer.logits if isinstance(answer, Answer) else answer
        loss(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    report: dict[str, Any] = {"model": TRAINED, "size": side, "batch": effort.training}
    for name, half_precision in (("float32", False), ("bfloat16", True)):
        seconds = seconds_of(lambda half=half_precision: step(half), effort)  # type: ignore[misc]
        report[name] = {"steps_per_second": 1 / seconds, "photos_per_second": effort.training / seconds}
    return report


def measure(device: str, effort: Effort, names: Sequence[str]) -> dict[str, Any]:
    """All of it; raises as petseg does where a model does not run on the device."""
    where = torch.device(device)
    started = time.perf_counter()
    top = ceilings(where, effort)
    with tempfile.TemporaryDirectory(prefix="petseg-gpu-") as folder:
        models = {name: measure_model(name, device, effort, top, Path(folder)) for name in names}
    report: dict[str, Any] = {"device": device, "card": card(device), "ceilings": top, "models": models}
    report |= {"training": training(where, effort), "torch": torch.__version__, "quick": effort == QUICK}
    return report | environment() | {"seconds": time.perf_counter() - started}


def table(report: dict[str, Any]) -> str:
    """Lines for people."""
    rows = []
    for name, found in report["models"].items():
        for precision in PRECISIONS:
            row = found[precision]
            rates = ", ".join(f"{rate:.0f} at {batch}" for batch, rate in row["photos_per_second"].items())
            share = f"{row['of_ceiling']:.1%}" if "of_ceiling" in row else "-"
            rows.append((name, precision, f"{row['equal']:.3%}", rates, share))
    heading = ("model", "precision", "the CPU's class", "photos a second, by batch", "of the matrix ceiling")
    top, trained = report["ceilings"], report["training"]
    said = [
        f"{report['card'] or report['machine']}: copies {top['copy_bytes'] / 1e9:.0f} GB/s, multiplies "
        + " and ".join(f"{top[f'matrix_{name}'] / 1e12:.2f} TFLOP/s in {name}" for name in PRECISIONS),
        markdown.table(heading, rows),
        f"training {trained['model']} at {trained['size']} px in batches of {trained['batch']}: "
        + ", ".join(
            f"{trained[name]['steps_per_second']:.2f} steps/s in {name}" for name in ("float32", "bfloat16")
        ),
        f"{report['seconds']:.0f} s in all",
    ]
    return "\n\n".join(said)


def main() -> int:
    """Measure as the command line says; 1 if something is missing, or an answer is not the CPU's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="default: %(default)s; cpu tries the program out")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and short times: figures mean nothing"
    )
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: all that are embedded")
    options = report_file.parse(parser)
    names = options.models or [model.name for model in catalog.embedded_models()]
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            f"cannot measure: torch {torch.__version__} finds no CUDA device (petseg doctor says what ONNX "
            "Runtime finds); --device cpu --quick tries the program out",
            file=sys.stderr,
        )
        return 1
    try:
        report = measure(options.device, QUICK if options.quick else FULL, names)
    except (PetsegError, OSError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(table(report))
    report_file.write(options.json, report)
    strange = [name for name, found in report["models"].items() if found["float32"]["equal"] < EQUAL]
    if strange:
        print(f"other answers than the CPU's: {', '.join(strange)}", file=sys.stderr)
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
