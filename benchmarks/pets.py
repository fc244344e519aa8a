"""Every animal by itself: `result.pets` beside the regions of masks, in one run: `python -m benchmarks.pets`.

Photos of several animals are those of --data with masks for each, that no model here was trained on; of one
animal, a list of the Oxford layout. The peer is that of `benchmarks.peer`.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.peer import PEER, Peer
from petseg.engine.precision import Precision
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.animals import AnimalEvaluation
from petseg.measure.bench import machine
from petseg.measure.datasets import read_pairs
from petseg.measure.pair import Pair
from petseg.pixels.classes import BORDER
from petseg.pixels.decision import ENOUGH
from petseg.pixels.polygons import regions
from petseg.segmenter import Segmenter
from train.checkpoint import CHECKPOINTS, load_checkpoint_config
from train.data.dataset import kept_aside, read_splits
from train.data.samples import Sample
from train.data.scenes import Scene, has_instances, read_scene

Masks = list[NDArray[np.bool_]]
NAMES = {
    "pets": "petseg, result.pets",
    "regions": "petseg, regions of the mask",
    "peer": "peer, regions of its mask",
    "truth": "petseg's mask, shared by truth",
}


def regions_of(mask: NDArray[np.uint8]) -> Masks:
    """The regions of a mask (H, W) as animals, but for specks."""
    numbers = regions(mask)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    return [numbers == number for number in np.flatnonzero(sizes >= max(1, ENOUGH * mask.size)).tolist()]


def shared_by_truth(mask: NDArray[np.bool_], scene: Scene) -> Masks:
    """A mask (H, W), each of its pixels given to the nearest true animal: the best that sharing it can do."""
    numbers = np.where(scene.instances == BORDER, 0, scene.instances)
    _, nearest = cv2.distanceTransformWithLabels(
        (numbers == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    animal_of = np.zeros(nearest.max() + 1, np.uint8)
    animal_of[nearest[numbers != 0]] = numbers[numbers != 0]
    owners = np.where(mask, animal_of[nearest], 0)
    return [owners == number for number in np.unique(owners[owners != 0])]


class Contest:
    """All ways to tell animals apart, on the same photos.

    Args:
        segmenter: finds all pets.
        peer: the other network, None where it is not here.
    """

    def __init__(self, segmenter: Segmenter, peer: Peer | None) -> None:
        self._segmenter, self._peer = segmenter, peer
        self.seconds: list[tuple[float, float]] = []

    def answers(self, photo: NDArray[np.uint8]) -> dict[str, Masks]:
        """What each way says of a photo (H, W, 3); the time of petseg's is noted."""
        start = perf_counter()
        result = self._segmenter(photo)
        mask = result.mask
        plain = perf_counter() - start
        pets = result.pets
        self.seconds.append((plain, perf_counter() - start))
        found = {"pets": [pet.mask for pet in pets], "regions": regions_of(mask)}
        if self._peer is not None:
            found["peer"] = regions_of(self._peer.letterboxed(photo))
        return found

    def ratio(self) -> dict[str, float]:
        """Time until the animals are known over that of the plain answer, photo to mask."""
        ratios = [every / plain for plain, every in self.seconds]
        return {"median": float(np.median(ratios)), "p95": float(np.percentile(ratios, 95))}


def measure_several(contest: Contest, samples: Sequence[Sample]) -> dict[str, Any]:
    """Figures on photos with a mask for each animal."""
    figures: dict[str, AnimalEvaluation] = {}
    for sample in shown(samples, "several"):
        scene = read_scene(sample)
        truth = [scene.instances == number for number in scene.numbers]
        answers = contest.answers(scene.image)
        mask = np.any([np.zeros(scene.instances.shape, bool), *answers["pets"]], axis=0)
        answers["truth"] = shared_by_truth(mask, scene)
        for name, found in answers.items():
            figures.setdefault(name, AnimalEvaluation()).add(truth, found)
    return {name: evaluation.report() for name, evaluation in figures.items()}


def measure_single(contest: Contest, pairs: Sequence[Sample]) -> dict[str, Any]:
    """Figures on photos of exactly one animal: how often it is taken for one."""
    figures: dict[str, AnimalEvaluation] = {}
    for pair in shown(pairs, "single"):
        for name, found in contest.answers(pair.read_image()).items():
            figures.setdefault(name, AnimalEvaluation()).add_count(1, len(found))
    return {name: evaluation.report() for name, evaluation in figures.items()}


def shown(samples: Sequence[Sample], name: str) -> Iterable[Sample]:
    """The samples, with a bar on a terminal."""
    bar: Iterable[Sample] = tqdm(samples, desc=name, unit="photo", disable=not sys.stderr.isatty())
    return bar


def held_out(folder: Path, animals: range, models: Sequence[str]) -> list[Sample]:
    """Photos of a folder with so many animals, each with a mask, that none of some models was trained on."""
    configs = [load_checkpoint_config(CHECKPOINTS / model) for model in models]
    unseen = filter(has_instances, kept_aside(folder, configs))
    return [sample for sample in unseen if len(read_scene(sample).numbers) in animals]


def held_out_single() -> list[Sample]:
    """The photos of the Oxford layout that were held back from the training of `unet`."""
    validation = read_splits(load_checkpoint_config(CHECKPOINTS / "unet").data)[1]
    return [sample for sample in validation if not isinstance(sample, Pair) or sample.trimap]


def print_results(results: dict[str, Any]) -> None:
    """The tables for people."""
    for title, key in (("several animals", "several"), ("one animal", "single")):
        if key not in results:
            continue
        count = results[key]["pets"]["photos"]
        print(
            f"\n{f'{count} photos of {title}':<34}{'IoU':>8}{'found':>8}{'count':>8}{'more':>8}{'fewer':>8}"
        )
        for name, row in results[key].items():
            cells = "".join(
                f"{row[figure]:>8.3f}" for figure in ("iou", "found", "right_count", "more", "fewer")
            )
            print(f"{NAMES[name]:<34}{cells}")
    ratio = results["ratio"]
    how = f"{results['precision']}, {results['threads']} threads"
    print(
        "\ntime of result.pets over that of the mask: "
        f"median {ratio['median']:.2f}, p95 {ratio['p95']:.2f} ({how})"
    )


def main() -> int:
    """Measure as the command line says; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pets", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="images/, masks/ and instances/")
    parser.add_argument("--animals", default="2-4", metavar="FROM-TO", help="how many its photos show")
    parser.add_argument("--single", type=Path, metavar="FOLDER", help="photos of one animal, Oxford layout")
    parser.add_argument("--split", help="its list of names; default: those held back from training")
    parser.add_argument(
        "--peer", type=Path, default=PEER, help="its .tflite file; left out if it is not there"
    )
    parser.add_argument("--threads", type=int, default=2, help="for each of the networks")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="auto", help="of petseg; default: its own choice"
    )
    options = report_file.parse(parser)
    try:
        first, last = map(int, options.animals.split("-"))
        segmenter = Segmenter(device="cpu", threads=options.threads, precision=options.precision)
        contest = Contest(segmenter, Peer(options.peer, options.threads) if options.peer.is_file() else None)
        results: dict[str, Any] = {
            "machine": machine(),
            "threads": options.threads,
            "precision": segmenter.precision,
            "animals": options.animals,
        }
        several = held_out(options.data, range(first, last + 1), ("unet", "prompt"))
        results["several"] = measure_several(contest, several)
        if options.single:
            single = read_pairs(options.single, options.split) if options.split else held_out_single()
            results["single"] = measure_single(contest, single)
        results["ratio"] = contest.ratio()
    except (PetsegError, OSError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print_results(results)
    report_file.write(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
