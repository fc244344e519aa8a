"""How fast a model is on this machine: its stages, photos per second, memory, cold start.

Two models are measured in turns, one photo each, so that whatever else the machine does befalls both.
"""

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from petseg.clicks import prompts
from petseg.clicks.prompts import Prompt
from petseg.engine.network import Network, planes
from petseg.engine.precision import Precision
from petseg.errors import DeviceError
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import load
from petseg.version import version

if TYPE_CHECKING:
    from petseg.segmenter import Segmenter

STAGES = ("decode", "fit", "run", "restore")
"""File to pixels, pixels to the network's square, square to logits, logits to the full-size mask."""
SLICES = 3
"""Times that throughput and cold start are measured, of which the median counts."""

_COLD = """
import sys, time
started = time.perf_counter()
import petseg
imported = time.perf_counter() - started
model, precision, device, threads, photo = sys.argv[1:]
segmenter = petseg.Segmenter(model or None, device=device, threads=int(threads), precision=precision)
segmenter.segment(photo, (1, 1) if segmenter.manifest.prompts else None).mask
print(imported, flush=True)
from petseg.measure.bench import peak_memory
print(peak_memory())
"""
"""A process of its own: when its first line comes, the mask is there."""


def draw_photo(width: int = 500, height: int = 375) -> bytes:
    """A JPEG of something like a cat on a lawn, with grain: work for a decoder and for a network."""
    image = Image.new("RGB", (width, height), (96, 130, 70))
    pen = ImageDraw.Draw(image)
    for shape, box, colour in (
        ("ellipse", (0.25, 0.35, 0.75, 0.95), (190, 120, 60)),
        ("ellipse", (0.38, 0.12, 0.62, 0.48), (200, 130, 70)),
        ("ellipse", (0.43, 0.25, 0.47, 0.31), (40, 60, 30)),
        ("ellipse", (0.53, 0.25, 0.57, 0.31), (40, 60, 30)),
    ):
        corners = [length * share for share, length in zip(box, (width, height) * 2, strict=True)]
        getattr(pen, shape)(corners, fill=colour)
    grain = np.random.default_rng(0).normal(0, 12, (height, width, 1))
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def machine() -> str:
    """The processor, as the system calls it, and how many cores there are."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def card(device: str) -> str | None:
    """The name of the GPU that a model runs on, None on the CPU or where nobody tells."""
    kind, _, index = device.partition(":")
    tool = shutil.which("nvidia-smi")
    if kind == "cpu" or tool is None:
        return None
    words = [tool, "--query-gpu=name", "--format=csv,noheader", f"--id={index or 0}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() or None


def peak_memory() -> int | None:
    """The largest resident memory of this process so far, in bytes; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        # Not getrusage's ru_maxrss, which on Linux begins with what the parent process had.
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def run_network(
    network: Network, images: NDArray[np.uint8], boxes: Sequence[Letterbox]
) -> NDArray[np.float32]:
    """Logits for photos, of a promptable model for a click on their middle; nothing is taken from a cache."""
    inputs: dict[str, Any] = {"image": images}
    if network.encoder is not None:
        inputs = dict(network.encoder.run(inputs))
    if network.manifest.prompts:
        clicks = [
            Prompt(np.array([[box.width / 2, box.height / 2]]), np.array([True]), None) for box in boxes
        ]
        inputs["prompt"] = np.stack([prompts.encode(*pair) for pair in zip(clicks, boxes, strict=True)])
    return network.decoder.run(inputs)["logits"]


def time_stages(segmenter: "Segmenter", photos: Sequence[bytes]) -> dict[str, float]:
    """Seconds of each of `STAGES` for one photo, of some that go through the network together."""
    network = segmenter._network
    size, fill = segmenter.manifest.size, segmenter.manifest.fill
    times = [perf_counter()]
    pixels = [load(photo) for photo in photos]
    times.append(perf_counter())
    boxes = [Letterbox.fit(photo.shape[1], photo.shape[0], size) for photo in pixels]
    images = planes([box.apply(photo, fill) for box, photo in zip(boxes, pixels, strict=True)])
    times.append(perf_counter())
    logits = run_network(network, images, boxes)
    times.append(perf_counter())
    for answer, box, photo in zip(logits, boxes, pixels, strict=True):
        _ = segmenter._result(answer, box, photo).mask
    times.append(perf_counter())
    seconds = (np.diff(times) / len(photos)).tolist()
    return dict(zip(STAGES, seconds, strict=True)) | {"total": sum(seconds)}


def time_many(segmenter: "Segmenter", photos: Sequence[bytes], batch: int | None) -> float:
    """Photos per second from file to full-size mask, many at a time; of a promptable model one by one."""
    started = perf_counter()
    if segmenter.manifest.prompts:
        for photo in photos:
            time_stages(segmenter, [photo])
    else:
        for _ in segmenter.each(photos, lambda result: result.mask.shape, batch):
            pass
    return len(photos) / (perf_counter() - started)


def time_cold(
    model: str | None, precision: str, device: str, threads: int, photo: bytes
) -> dict[str, float | None]:
    """Seconds from the start of a process to its first mask, those of its `import petseg`, and its memory.

    Raises:
        DeviceError: the process failed.
    """
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="petseg-bench-"))
        path = Path(folder) / "photo.jpg"
        path.write_bytes(photo)
        words = [sys.executable, "-c", _COLD, model or "", precision, device, str(threads), str(path)]
        started = perf_counter()
        errors = opened.enter_context(
            (Path(folder) / "errors.txt").open("w+", encoding="utf-8", errors="replace")
        )
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = perf_counter() - started
            # Not communicate, which does not know what readline left in the buffer; errors are in a file, so
            # that no pipe fills up meanwhile.
            rest = process.stdout.read()
        if process.returncode:
            errors.seek(0)
            reason = errors.read().strip()[-500:]
            raise DeviceError(f"a process of its own did not get to its first mask: {reason}")
    memory = None if rest.strip() == "None" else float(rest)
    return {"cold start": seconds, "import": float(line), "memory": memory}


def in_seconds(action: Callable[[], Any]) -> float:
    """How long an action takes."""
    started = perf_counter()
    action()
    return perf_counter() - started


def in_turns(actions: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 0) -> dict[str, list[Any]]:
    """What each action gives in each round: all of them once, then all of them again in reverse."""
    results: dict[str, list[Any]] = {name: [] for name in actions}
    for number in range(-warm_up, rounds):
        for name in list(actions)[:: -1 if number % 2 else 1]:
            result = actions[name]()
            if number >= 0:
                results[name].append(result)
    return results


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    median, p95 = np.percentile(1000 * np.asarray(seconds), [50, 95]).tolist()
    return {"median": median, "p95": p95}


def measure(
    models: Mapping[str, tuple[str | None, Precision]],
    photos: Sequence[bytes],
    load_model: Callable[[str | None, Precision], "Segmenter"],
    *,
    threads: int = 0,
    batch: int | None = None,
    rounds: int = 50,
) -> dict[str, Any]:
    """Measure models in turns.

    Args:
        models: label -> model and precision, as `Segmenter` takes them.
        photos: encoded; the stages take them in turn.
        load_model: gives the segmenter of a model in a precision.
        threads: what that opens models with, for the cold start.
        batch: photos that go through the network together; None: one in the stages, and for the throughput
            what `petseg.pipeline.plan` chooses.
        rounds: measurements of the stages.

    Returns:
        Label -> "model", "precision", "device", "stages" (name -> median and p95, ms per photo), "photos per
        second", "cold start" and "import" (seconds), "memory" (bytes, of the process with the cold start).

    Raises:
        PetsegError: a model or the device cannot be opened, or a photo cannot be read.
    """
    segmenters = {label: load_model(*model) for label, model in models.items()}

    def stages(segmenter: "Segmenter") -> Callable[[], dict[str, float]]:
        source = cycle(photos)
        return lambda: time_stages(segmenter, list(islice(source, batch or 1)))

    def many(segmenter: "Segmenter") -> Callable[[], float]:
        count = max(rounds, 8 * (batch or 1))
        return lambda: time_many(segmenter, list(islice(cycle(photos), count)), batch)

    def cold(label: str) -> Callable[[], dict[str, float | None]]:
        return lambda: time_cold(*models[label], segmenters[label].device, threads, photos[0])

    timed = in_turns(
        {label: stages(each) for label, each in segmenters.items()}, rounds, max(3, rounds // 10)
    )
    rates = in_turns({label: many(each) for label, each in segmenters.items()}, SLICES, warm_up=1)
    colds = in_turns({label: cold(label) for label in segmenters}, SLICES)
    report: dict[str, Any] = {}
    for label, segmenter in segmenters.items():
        report[label] = {
            "model": segmenter.name,
            "precision": segmenter.precision,
            "device": segmenter.device,
            "stages": {stage: spread([one[stage] for one in timed[label]]) for stage in (*STAGES, "total")},
            "photos per second": float(np.median(rates[label])),
        }
        for key in ("cold start", "import", "memory"):
            values = [one[key] for one in colds[label] if one[key] is not None]
            report[label][key] = float(np.median(values)) if values else None
    return report


def ratios(report: Mapping[str, Any], first: str, second: str) -> dict[str, float]:
    """Of each figure, the first model's over the second's: times and memory below 1 are good."""
    one, other = report[first], report[second]
    pairs = {
        stage: (one["stages"][stage]["median"], other["stages"][stage]["median"]) for stage in one["stages"]
    }
    keys = ("photos per second", "cold start", "import", "memory")
    pairs |= {key: (one[key], other[key]) for key in keys if one[key] and other[key]}
    return {key: value / peer for key, (value, peer) in pairs.items()}


def environment() -> dict[str, Any]:
    """What the figures hold for."""
    return {"petseg": version(), "python": platform.python_version(), "machine": machine()}
