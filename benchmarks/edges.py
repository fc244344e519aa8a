"""How near the outlines of cutouts are to those that people drew: `python -m benchmarks.edges`.

On the held-out photos of the Oxford dataset that have trimaps of its own: the outline is where the opacity
crosses a half, and the trimap's border is a band that people could not tell. Large photos are not in the
dataset; what the network says, averaged over 2 x 2 or 4 x 4 of its pixels, stands in for one that is so much
larger. There the network's finer answer is known, and shows what the photo's colours bring back.

Smooth outlines lie within the band more often, whatever they follow: a blurred one shows how much that is.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from benchmarks.isnet import IsNet
from benchmarks.pets import held_out_single, shown
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import machine
from petseg.measure.tables import aligned
from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import Letterbox
from petseg.pixels.margins import Margins
from petseg.pixels.opacity import OfPets
from petseg.segmenter import Segmenter
from train.checkpoint import CHECKPOINTS, load_checkpoint_config
from train.data.samples import Sample

Opaque: TypeAlias = NDArray[np.float64]
"""(H, W) 0 clear to 1 solid."""

DRAWN = Path("annotations", "from_polygons.txt")
"""Names the photos whose trimap is not the dataset's own, where there are such."""
ALONE = "network alone"
"""What cutouts were before the photo's colours had a say."""
NEAR = 15
"""Pixels from the border within which cutouts must be clear or solid."""
FIGURES = ("within", "distance", "error", "beside_finer")
"""What there is of each way; the last one only where the network's answer was made coarser."""
TITLES = ("outline within the border", "mean distance, px", "error beside it", "error to the finer answer")


@dataclass(frozen=True)
class Truth:
    """What people drew.

    Attributes:
        pet: (H, W) bool.
        away: (H, W) float64, distance to the nearest pixel of the border, 0 in it.
    """

    pet: NDArray[np.bool_]
    away: NDArray[np.float64]

    @classmethod
    def of(cls, mask: NDArray[np.uint8]) -> "Truth":
        """From a mask (H, W): 0 background, 1 cat, 2 dog, 255 border."""
        return cls((mask != 0) & (mask != BORDER), ndimage.distance_transform_edt(mask != BORDER))


def outline(opaque: Opaque) -> NDArray[np.bool_]:
    """(H, W) where a pixel is at least half opaque, and one of its four neighbours in the photo is not."""
    inside = opaque >= 0.5
    return np.asarray(inside & ~ndimage.binary_erosion(inside, border_value=1))


def figures(opaque: Opaque, truth: Truth) -> dict[str, float]:
    """Of one photo: see `FIGURES`; nothing of an answer without an outline."""
    away = truth.away[outline(opaque)]
    if not len(away):
        return {}
    beside = (truth.away > 0) & (truth.away <= NEAR)
    return {
        "within": float((away == 0).mean()),
        "distance": float(away.mean()),
        "error": float(np.abs(opaque - truth.pet)[beside].mean()),
    }


def coarser(said: Margins, times: int) -> Margins:
    """What the network said of a photo, with so many of its pixels, in both directions, made one."""
    fine = said.letterbox
    box = Letterbox.fit(fine.width, fine.height, fine.size // times, fine.region)
    cat, dog = (np.asarray(Image.fromarray(plane).reduce(times)) for plane in (said.cat, said.dog))
    return Margins(box, cat, dog)


def ways(photo: NDArray[np.uint8], said: Margins) -> dict[str, Opaque]:
    """The opacity of a cutout: by the network alone, that blurred, and by the photo's colours too."""
    refined = OfPets.of(photo, said, None)
    alone = replace(refined, edges=replace(refined.edges, slopes=np.zeros_like(refined.edges.slopes)))
    whole = (0, 0, photo.shape[1], photo.shape[0])
    plain = alone.part(whole)
    blurred = Image.fromarray(plain).filter(ImageFilter.GaussianBlur(said.letterbox.pixel))
    found = {ALONE: plain, f"{ALONE}, blurred": blurred, "petseg": refined.part(whole)}
    return {name: np.asarray(opaque) / 255 for name, opaque in found.items()}


class Contest:
    """All ways on the same photos.

    Args:
        segmenter: finds all pets.
        isnet: the other network, None where it is not here.
    """

    def __init__(self, segmenter: Segmenter, isnet: Callable[[NDArray[np.uint8]], Any] | None) -> None:
        self._segmenter, self._isnet = segmenter, isnet

    def measure(self, sample: Sample, times: Sequence[int]) -> Iterator[tuple[int, str, dict[str, float]]]:
        """How much coarser, way and figures, of one photo."""
        photo, truth = sample.read_image(), Truth.of(sample.read_mask())
        said = self._segmenter(photo)._margins
        finer = ways(photo, said)[ALONE]
        for each in times:
            by_name = ways(photo, coarser(said, each))
            unsure = (by_name[ALONE] > 0) & (by_name[ALONE] < 1)
            for name, opaque in by_name.items():
                row = figures(opaque, truth)
                if each > 1 and unsure.any():
                    row["beside_finer"] = float(np.abs(opaque - finer)[unsure].mean())
                yield each, name, row
        if self._isnet is not None:
            yield 1, "IS-Net", figures(self._isnet(photo).astype(np.float64), truth)


def measure(contest: Contest, samples: Sequence[Sample], times: Sequence[int]) -> dict[str, Any]:
    """Means over the photos: how much coarser -> way -> figure."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for sample in shown(samples, "edges"):
        for each, name, row in contest.measure(sample, times):
            found.setdefault(str(each), {}).setdefault(name, []).append(row)
    return {
        each: {
            name: {
                figure: float(np.mean([row[figure] for row in rows if figure in row]))
                for figure in FIGURES
                if any(figure in row for row in rows)
            }
            for name, rows in by_name.items()
        }
        for each, by_name in found.items()
    }


def trimapped() -> list[Sample]:
    """The photos held back from the training of `unet` whose trimap is the dataset's own."""
    config = load_checkpoint_config(CHECKPOINTS / "unet").data
    drawn: set[str] = set()
    for source in config.sources:
        path = Path(config.root) / source.path / DRAWN
        if path.is_file():
            drawn |= set(path.read_text(encoding="utf-8").split())
    return [sample for sample in held_out_single() if sample.name not in drawn]


def print_results(results: dict[str, Any]) -> None:
    """The tables for people."""
    for times, by_name in results["edges"].items():
        heading = "" if times == "1" else f", the network's answer {times} times coarser"
        rows = [(f"{results['photos']} photos{heading}", *TITLES)]
        for name, row in by_name.items():
            rows.append((name, *(f"{row[key]:.4f}" if key in row else "" for key in FIGURES)))
        print(f"\n{aligned(rows, right=(1, 2, 3, 4))}")


def main() -> int:
    """Measure as the command line says; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edges", description=__doc__)
    parser.add_argument("--coarser", type=int, nargs="+", default=[1, 2, 4], choices=(1, 2, 4, 8))
    parser.add_argument("--isnet", type=Path, metavar="FILE.onnx", help="IS-Net too (benchmarks/isnet.py)")
    parser.add_argument("--threads", type=int, default=2, help="for each of the networks")
    options = report_file.parse(parser)
    try:
        isnet = IsNet(options.isnet, options.threads) if options.isnet else None
        contest = Contest(Segmenter(device="cpu", threads=options.threads), isnet)
        samples = trimapped()
        edges = measure(contest, samples, options.coarser)
    except (PetsegError, OSError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    results = {"machine": machine(), "photos": len(samples), "edges": edges}
    print_results(results)
    report_file.write(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
