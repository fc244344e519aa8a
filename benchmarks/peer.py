"""petseg beside DeepLabv3-MobileNetV2 in one run: `python -m benchmarks.peer`.

The peer is a quantised Pascal VOC network for TensorFlow Lite, and it is only charged for its network;
petseg is charged for everything from the uint8 photo to the full-size mask.
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import numpy as np
import skimage.data
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

from benchmarks.isnet import IsNet, compare
from petseg.engine.precision import Precision
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import machine
from petseg.measure.datasets import read_pairs
from petseg.measure.evaluation import Predictor, count_false_alarms, evaluate, format_report
from petseg.measure.pair import Pair
from petseg.measure.tables import aligned
from petseg.pixels.geometry import Letterbox
from petseg.segmenter import Segmenter
from train.checkpoint import known_configs
from train.data.arguments import split_of
from train.data.dataset import kept_aside

ROOT = Path(__file__).parents[1]
PEER = ROOT / "../shared/weights/peers/deeplabv3_mnv2_pascal_quant.tflite"
VOC_CLASSES = {8: 1, 12: 2}
"""Pascal VOC's cat and dog -> petseg's."""

Photo = NDArray[np.uint8]


class Peer:
    """The TensorFlow Lite network.

    Args:
        path: the .tflite file.
        threads: for the CPU.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self.size = int(self._input["shape"][1])

    def feed(self, square: Photo) -> None:
        """Hand over an (S, S, 3) uint8 photo."""
        self._interpreter.set_tensor(self._input["index"], square[None])

    def run(self) -> None:
        """Run the network alone, on what was fed last."""
        self._interpreter.invoke()

    def classes(self, square: Photo) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 -> (S, S) uint8 of petseg's classes."""
        self.feed(square)
        self.run()
        table = np.zeros(256, np.uint8)
        table[list(VOC_CLASSES)] = list(VOC_CLASSES.values())
        classes: NDArray[np.uint8] = table[self._interpreter.get_tensor(self._output)[0]]
        return classes

    def letterboxed(self, photo: Photo) -> NDArray[np.uint8]:
        """Mask at the photo's size, its aspect ratio kept on the way."""
        box = Letterbox.fit(photo.shape[1], photo.shape[0], self.size)
        return box.restore_labels(self.classes(box.apply(photo)))

    def stretched(self, photo: Photo) -> NDArray[np.uint8]:
        """Mask at the photo's size, the photo stretched to the square on the way."""
        image = Image.fromarray(photo)
        square = image.resize((self.size, self.size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        classes = Image.fromarray(self.classes(np.asarray(square)))
        return np.asarray(classes.resize(image.size, Image.Resampling.NEAREST))


def sample_photo() -> Photo:
    """scikit-image's cat, (375, 500, 3) uint8."""
    return np.asarray(Image.fromarray(skimage.data.chelsea()).resize((500, 375), Image.Resampling.BICUBIC))


def time_once(segmenter: Segmenter, peer: Peer, photo: Photo) -> dict[str, float]:
    """Seconds of petseg, of its stages and of the peer's network, one after the other.

    The fit is timed by itself once more, and "run" is what it leaves of the way from photo to logits.
    """
    start = perf_counter()
    result = segmenter(photo)
    answered = perf_counter()
    _ = result.mask
    restored = perf_counter()
    Letterbox.fit(photo.shape[1], photo.shape[0], segmenter.manifest.size).apply(photo)
    fitted = perf_counter()
    peer.run()
    return {
        "petseg": restored - start,
        "fit": fitted - restored,
        "run": (answered - start) - (fitted - restored),
        "restore": restored - answered,
        "peer": perf_counter() - fitted,
    }


def measure(segmenter: Segmenter, peer: Peer, photo: Photo, rounds: int) -> dict[str, Any]:
    """Latencies in milliseconds, after a warm-up.

    Returns:
        "petseg" and "peer" with "median" and "p95", "stages" with the same for each, and "ratio", petseg's
        median over the peer's.
    """
    peer.feed(Letterbox.fit(photo.shape[1], photo.shape[0], peer.size).apply(photo))
    for _ in range(max(3, rounds // 10)):
        time_once(segmenter, peer, photo)
    seconds = [time_once(segmenter, peer, photo) for _ in range(rounds)]
    figures = {}
    for name in seconds[0]:
        median, p95 = np.percentile([1000 * timing[name] for timing in seconds], [50, 95])
        figures[name] = {"median": float(median), "p95": float(p95)}
    return {
        "petseg": figures["petseg"],
        "stages": {stage: figures[stage] for stage in ("fit", "run", "restore")},
        "peer": figures["peer"],
        "ratio": figures["petseg"]["median"] / figures["peer"]["median"],
    }


def compare_accuracy(
    segmenter: Segmenter, peer: Peer, pairs: list[Pair], without_pets: list[Path]
) -> dict[str, dict[str, Any]]:
    """`Evaluation.report` of both; the peer's is the better of two ways to fit a photo, named "fit"."""

    def report(predict: Predictor) -> dict[str, Any]:
        evaluation, _ = evaluate(pairs, predict)
        count_false_alarms(evaluation, without_pets, predict)
        return evaluation.report()

    ways = {"letterboxed": peer.letterboxed, "stretched": peer.stretched}
    reports = [{"fit": way, **report(predict)} for way, predict in ways.items()]
    return {
        "petseg": report(lambda photo: segmenter(photo).mask),
        "peer": max(reports, key=lambda each: each["miou"]),
    }


def unseen_by(model: str, folder: Path) -> list[Path]:
    """The photos of a folder without pets that an embedded model was not trained on."""
    unseen = {sample.name for sample in kept_aside(folder, known_configs([model]))}
    return [pair.image for pair in read_pairs(folder) if pair.name in unseen]


def print_results(results: dict[str, Any]) -> None:
    """The tables for people."""
    latency = results["latency"]
    rows = {
        "petseg, photo to mask": latency["petseg"],
        **{f"  {stage}": figures for stage, figures in latency["stages"].items()},
        "peer, network alone": latency["peer"],
    }
    how = f"{results['threads']} threads, {results['precision']}, {results['rounds']} rounds"
    print(f"{results['photo']} photo, {how}")
    times = [(name, f"{row['median']:.2f}", f"{row['p95']:.2f}") for name, row in rows.items()]
    ratio = ("ratio of medians", f"{latency['ratio']:.2f}", "")
    print(aligned([("", "median ms", "p95 ms"), *times, ratio], right=(1, 2)))
    for name, report in results.get("accuracy", {}).items():
        fit = f", photos {report['fit']}" if "fit" in report else ""
        print(f"\n{name}{fit}\n{format_report(report)}")
    if isnet := results.get("isnet"):
        cells = [(f"{isnet['photos']} photos", "pet IoU", "with border", "median ms")]
        for name in ("petseg", "isnet"):
            row = isnet[name]
            pet, border = (f"{row[key]:.4f}" for key in ("pet_iou", "pet_iou_border_as_pet"))
            cells.append((name, pet, border, f"{row['median_ms']:.1f}"))
        print(f"\n{aligned(cells, right=(1, 2, 3))}")
        print(f"petseg, photo to mask, is {isnet['ratio']:.0f} times as fast as IS-Net's network alone")


def main() -> int:
    """Measure as the command line says; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description=__doc__)
    parser.add_argument("--model", help="name or .onnx file; default: petseg's default model")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="auto", help="of petseg; default: its own choice"
    )
    parser.add_argument("--peer", type=Path, default=PEER, help="its .tflite file")
    parser.add_argument("--threads", type=int, default=2, help="for each of the two")
    parser.add_argument("--rounds", type=int, default=100, help="measurements of each")
    parser.add_argument("--data", type=Path, help="also evaluate both on this folder of photos with masks")
    parser.add_argument("--split", help="list of names, for the Oxford layout; default there: test")
    parser.set_defaults(default_split="test")
    parser.add_argument(
        "--no-pets", type=Path, metavar="FOLDER", help="and on this one of photos without, for false alarms"
    )
    parser.add_argument("--isnet", type=Path, metavar="FILE.onnx", help="IS-Net too (benchmarks/isnet.py)")
    parser.add_argument("--isnet-photos", type=int, default=82, help="photos of --data that it is shown")
    options = report_file.parse(parser)
    if (options.no_pets or options.isnet) and not options.data:
        parser.error("--no-pets and --isnet go with --data")
    photo = sample_photo()
    try:
        segmenter = Segmenter(
            options.model, device="cpu", threads=options.threads, precision=options.precision
        )
        peer = Peer(options.peer, options.threads)
        pairs = read_pairs(options.data, split_of(options)) if options.data else []
        without_pets = unseen_by(segmenter.name, options.no_pets) if options.no_pets else []
        isnet = IsNet(options.isnet, options.threads) if options.isnet else None
    except (PetsegError, OSError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    results: dict[str, Any] = {
        "model": segmenter.name,
        "precision": segmenter.precision,
        "machine": machine(),
        "photo": f"{photo.shape[1]} x {photo.shape[0]}",
        "threads": options.threads,
        "rounds": options.rounds,
        "latency": measure(segmenter, peer, photo, options.rounds),
    }
    if pairs:
        results["accuracy"] = compare_accuracy(segmenter, peer, pairs, without_pets)
    if isnet is not None:
        results["isnet"] = compare(isnet, lambda photo: segmenter(photo).mask, pairs, options.isnet_photos)
    print_results(results)
    report_file.write(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
