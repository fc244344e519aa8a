"""petseg and its peers by simulated clicks, in one table: `python -m benchmarks.clicks prompt`.

Peers: the connected component of DeepLabv3's pets under the click, and OpenCV's GrabCut, which also takes a
box. All answer for the same animals, by the protocol of `train.people.clicks`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.peer import PEER, Peer
from petseg.errors import PetsegError
from petseg.measure import report_file
from petseg.measure.bench import machine
from petseg.measure.evaluation import Predictor
from train.data.arguments import add_photos
from train.people import clicks
from train.people.clicked import Classes, Clicked, Photo, open_clicked

SIDE = 320
"""GrabCut sees photos with their longer side reduced to this: its time grows with the pixels."""
RADIUS = 5
"""Radius in those pixels of the disc around a click that GrabCut takes for sure."""
ITERATIONS = 5

PEERS = {
    "deeplab": "DeepLabv3, component: DeepLabv3-MobileNetV2 (8-bit, Pascal VOC), photos letterboxed; the "
    "8-connected component of its cats and dogs under the click, nothing where there is none; no more clicks",
    "grabcut": f"OpenCV GrabCut: photos reduced to a longer side of {SIDE} pixels, {ITERATIONS} iterations "
    f"for each click; a disc of radius {RADIUS} around a click is sure, all else at first probably "
    "background and later what the last answer said; or from a box, outside of which all is background; it "
    "knows no species",
}


class Component:
    """The connected component of a semantic mask under the click.

    Args:
        name: for people.
        predict: photo -> classes.
    """

    most, boxes, species = 1, False, True

    def __init__(self, name: str, predict: Predictor) -> None:
        self.name, self._predict = name, predict
        self._photo: Photo | None = None

    def start(self, photo: Photo) -> None:
        """See `train.people.clicked.Clicked`."""
        if photo is not self._photo:
            self._photo, self._classes = photo, self._predict(photo)
            _, self._components = cv2.connectedComponents((self._classes > 0).astype(np.uint8))

    def click(self, point: tuple[float, float], positive: bool) -> Classes:
        """See `train.people.clicked.Clicked`; what `positive` says is not asked: there is one click only."""
        clicked = self._components[int(point[1]), int(point[0])]
        return np.where((self._components == clicked) & (clicked > 0), self._classes, np.uint8(0))

    def box(self, corners: NDArray[np.float64]) -> Classes:
        """Refused."""
        raise NotImplementedError(f"{self.name} takes no box")


class GrabCut:
    """OpenCV's GrabCut (Rother et al., SIGGRAPH 2004). It knows no species and calls everything cat.

    Args:
        seed: of the clustering that it starts from.
    """

    name, most, boxes, species = "OpenCV GrabCut", None, True, False

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def start(self, photo: Photo) -> None:
        """See `train.people.clicked.Clicked`."""
        self._height, self._width = photo.shape[:2]
        scale = min(1.0, SIDE / max(photo.shape[:2]))
        size = max(1, round(self._width * scale)), max(1, round(self._height * scale))
        self._small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        self._labels = np.full(size[::-1], cv2.GC_PR_BGD, np.uint8)
        self._scale = np.array(size) / (self._width, self._height)

    def click(self, point: tuple[float, float], positive: bool) -> Classes:
        """See `train.people.clicked.Clicked`."""
        x, y = (int(value) for value in np.array(point) * self._scale)
        cv2.circle(self._labels, (x, y), RADIUS, cv2.GC_FGD if positive else cv2.GC_BGD, cv2.FILLED)
        return self._cut()

    def box(self, corners: NDArray[np.float64]) -> Classes:
        """See `train.people.clicked.Clicked`."""
        low, high = corners.reshape(2, 2) * self._scale
        (x0, y0), (x1, y1) = np.floor(low).astype(int), np.ceil(high).astype(int)
        self._labels[:] = cv2.GC_BGD
        self._labels[y0:y1, x0:x1] = cv2.GC_PR_FGD
        return self._cut()

    def _cut(self) -> Classes:
        """Run it on the labels, which it changes where they are not sure."""
        pet = np.isin(self._labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if pet.any() and not pet.all():  # else it has no samples of one of the two, and refuses
            cv2.setRNGSeed(self._seed)
            background, foreground = np.zeros((1, 65)), np.zeros((1, 65))  # models that it makes
            cv2.grabCut(
                self._small,
                self._labels,
                (0, 0, 0, 0),  # no rectangle: the mask says it all
                background,
                foreground,
                ITERATIONS,
                cv2.GC_INIT_WITH_MASK,
            )
            pet = np.isin(self._labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        size = self._width, self._height
        return np.asarray(cv2.resize(pet.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.uint8)


def open_peers(names: list[str], path: Path, threads: int, seed: int) -> list[Clicked]:
    """The peers of these names.

    Args:
        names: keys of `PEERS`.
        path: the .tflite file of DeepLabv3.
        threads: for that.
        seed: for GrabCut.
    """
    peers: list[Clicked] = []
    if "deeplab" in names:
        peers.append(Component("DeepLabv3, component", Peer(path, threads).letterboxed))
    if "grabcut" in names:
        peers.append(GrabCut(seed))
    return peers


def main() -> int:
    """Measure as the command line says; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clicks", description=__doc__)
    parser.add_argument("model", help="checkpoint folder, or any promptable model that petseg opens")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="default: all")
    parser.add_argument("--peer", type=Path, default=PEER, help="DeepLabv3's .tflite file")
    parser.add_argument("--threads", type=int, default=2, help="for DeepLabv3")
    add_photos(parser)
    clicks.add_arguments(parser)
    options = report_file.parse(parser)
    try:
        clicked, config = open_clicked(options.model)
        peers = open_peers(options.peers, options.peer, options.threads, options.seed)
        report: dict[str, Any] = clicks.simulate([clicked, *peers], config, options)
    except (PetsegError, OSError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    report |= {"peers": {name: PEERS[name] for name in options.peers}, "machine": machine()}
    print(clicks.format_simulation(report))
    for text in report["peers"].values():
        print(f"\n{text}")
    report_file.write(options.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
