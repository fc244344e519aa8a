"""petseg's speed beside others, in turns, on the same photo: `python -m benchmarks.speed`.

petseg is charged for everything from the uint8 photo to the full-size mask, and so is the plain U-Net of
31 million weights, which runs in petseg with random weights. DeepLabv3 and PyTorch are charged for their
network alone.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peer import PEER, Peer, Photo, sample_photo
from export.card import markdown
from export.export import export
from petseg.engine.network import planes
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import card, environment, in_seconds, in_turns, spread
from petseg.pixels.geometry import Letterbox
from petseg.segmenter import Segmenter
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import load_config
from train.models import build

ROOT = Path(__file__).parents[1]
PLAIN, PLAIN_SIZE = ROOT / "train/configs/studies/e_unet.toml", 256
"""The published studies' U-Net of 31 million weights, and the side of its square in pixels."""

Action = Callable[[], Any]


def square(photo: Photo, size: int) -> Photo:
    """The photo as networks see it, (1, 3, S, S) uint8."""
    return planes([Letterbox.fit(photo.shape[1], photo.shape[0], size).apply(photo)])


def petseg_actions(segmenter: Segmenter, photo: Photo) -> dict[str, Action]:
    """The way from photo to mask, and the network alone."""
    images, name = square(photo, segmenter.manifest.size), f"{segmenter.name} in {segmenter.precision}"
    return {
        f"petseg {name}, photo to mask": lambda: segmenter(photo).mask,
        f"petseg {name}, network alone": lambda: segmenter._network.run(images),
    }


def torch_actions(checkpoint: Path, photo: Photo, size: int, device: str, threads: int) -> dict[str, Action]:
    """The same network in PyTorch, eager and compiled, from and to the CPU's memory; without a gradient."""
    torch.set_num_threads(threads)
    where = torch.device(device)
    model = load_checkpoint(checkpoint)[0].to(where)
    images = torch.from_numpy(square(photo, size))

    def run(network: Callable[..., torch.Tensor]) -> Action:
        @torch.inference_mode()
        def action() -> np.ndarray:
            return network(images.to(where)).cpu().numpy()

        return action

    return {
        "the same U-Net, PyTorch eager": run(model),
        "the same U-Net, torch.compile": run(torch.compile(model)),
    }


def plain_unet(folder: Path, device: str, threads: int) -> Segmenter:
    """The plain U-Net with random weights, exported to a folder and opened."""
    config = load_config(PLAIN)
    # petseg takes no trimaps; the names of the three classes are the same to the clock.
    config = config.model_copy(update={"data": config.data.model_copy(update={"labels": "species"})})
    torch.manual_seed(0)
    save_checkpoint(folder / "checkpoint", build(config.model), config)
    export(folder / "checkpoint", size=PLAIN_SIZE, half=False).write(folder / "plain.onnx")
    return Segmenter(folder / "plain.onnx", device=device, threads=threads)


def without_failures(actions: dict[str, Action]) -> tuple[dict[str, Action], dict[str, str]]:
    """What works here (torch.compile needs a compiler), and why the rest does not."""
    able, reasons = {}, {}
    for name, action in actions.items():
        try:
            action()
            able[name] = action
        except Exception as error:
            reasons[name] = " ".join(str(error).split())[:200]
    return able, reasons


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Median and p95 in milliseconds by name, each over petseg's median, and what did not run."""
    photo = sample_photo()
    open_options = {"device": options.device, "threads": options.threads}
    segmenter = Segmenter(options.model, **open_options)
    actions = petseg_actions(segmenter, photo)
    (whole, _) = actions
    if segmenter.precision != "float32":
        actions |= petseg_actions(Segmenter(options.model, precision="float32", **open_options), photo)
    if segmenter.device == "cpu":
        peer = Peer(options.peer, options.threads)
        peer.feed(Letterbox.fit(photo.shape[1], photo.shape[0], peer.size).apply(photo))
        actions["DeepLabv3, 8-bit, TensorFlow Lite, network alone"] = peer.run
    size, device = segmenter.manifest.size, segmenter.device
    actions |= torch_actions(options.checkpoint, photo, size, device, options.threads)
    plain = plain_unet(folder, device, options.threads)
    actions["plain U-Net of 31 M weights, 256 px, photo to mask"] = lambda: plain(photo).mask
    able, reasons = without_failures(actions)
    timed = {name: partial(in_seconds, action) for name, action in able.items()}
    seconds = in_turns(timed, options.rounds, warm_up=5)
    rows = {name: spread(values) for name, values in seconds.items()}
    for row in rows.values():
        row["over petseg"] = row["median"] / rows[whole]["median"]
    return {"device": device, "card": card(device), "rows": rows, "not measured": reasons}


def table(report: dict[str, Any]) -> str:
    """Lines for a README."""
    rows = [
        (name, f"{row['median']:.1f}", f"{row['p95']:.1f}", f"{row['over petseg']:.2f}")
        for name, row in report["rows"].items()
    ]
    rows += [(name, f"not measured: {why}", "", "") for name, why in report["not measured"].items()]
    where = report["card"] or report["machine"]
    told = f"{where}, {report['device']}, {report['threads']} threads, {report['rounds']} rounds"
    return f"{markdown.table(('', 'median ms', 'p95 ms', 'over petseg'), rows)}\n{told}"


def main() -> int:
    """Measure as the command line says; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--model", help="name or .onnx file; default: petseg's default model")
    parser.add_argument(
        "--checkpoint", type=Path, default=ROOT / "train/checkpoints/unet", help="for PyTorch"
    )
    parser.add_argument("--peer", type=Path, default=PEER, help="DeepLabv3's .tflite file")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:N for petseg and PyTorch on one card")
    parser.add_argument("--threads", type=int, default=2, help="for each of them on the CPU")
    parser.add_argument("--rounds", type=int, default=50, help="measurements of each")
    options = report_file.parse(parser)
    try:
        with tempfile.TemporaryDirectory(prefix="petseg-speed-") as name:
            report = measure(options, Path(name))
    except (PetsegError, OSError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    report |= environment() | {"threads": options.threads, "rounds": options.rounds}
    print(table(report))
    report_file.write(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
