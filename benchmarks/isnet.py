"""IS-Net (arXiv:2203.03041), rembg's `isnet-general-use`: what stands out in a photo, whatever it is."""

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from petseg.measure.evaluation import Predictor, evaluate
from petseg.measure.pair import Pair

SIDE = 1024
Photo = NDArray[np.uint8]


class IsNet:
    """The ONNX network, on the CPU.

    Args:
        path: the .onnx file; photos go in as (1, 3, 1024, 1024) float32, (x - 128) / 256.
        threads: for the CPU.

    Attributes:
        seconds: of the network alone, one for each photo.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input, self._output = self._session.get_inputs()[0].name, self._session.get_outputs()[0].name
        self.seconds: list[float] = []

    def __call__(self, photo: Photo) -> Photo:
        """(H, W, 3) uint8 -> (H, W) uint8: 1 where something stands out, else 0."""
        image = Image.fromarray(photo)
        square = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))
        fed = ((square.astype(np.float32) - 128) / 256).transpose(2, 0, 1)[None]
        start = perf_counter()
        alpha = np.asarray(self._session.run([self._output], {self._input: fed})[0], np.float32)
        self.seconds.append(perf_counter() - start)
        plane = Image.fromarray(alpha.reshape(SIDE, SIDE))
        return (np.asarray(plane.resize(image.size, Image.Resampling.BILINEAR)) > 0.5).astype(np.uint8)


def compare(isnet: IsNet, predict: Predictor, pairs: list[Pair], count: int) -> dict[str, Any]:
    """Pet IoU and time of both on the same photos, at even steps through the list.

    IS-Net knows no species, so that what it finds is held against the pets of a photo, whichever they are.

    Args:
        isnet: see there.
        predict: petseg, photo to mask.
        pairs: photos with true masks.
        count: how many of them.

    Returns:
        "photos", and for "petseg" and "isnet" the pet IoU, border ignored and as pet, and the median time in
        milliseconds: IS-Net's of the network alone, petseg's from photo to mask.
    """
    steps = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    chosen = [pairs[step] for step in steps]
    seconds: list[float] = []

    def timed(photo: Photo) -> Photo:
        start = perf_counter()
        mask = predict(photo)
        seconds.append(perf_counter() - start)
        return mask

    results: dict[str, Any] = {"photos": len(chosen)}
    for name, run, times in (("petseg", timed, seconds), ("isnet", isnet, isnet.seconds)):
        report = evaluate(chosen, run)[0].report()
        kept = {key: report[key] for key in ("pet_iou", "pet_iou_border_as_pet")}
        results[name] = kept | {"median_ms": 1000 * float(np.median(times))}
    results["ratio"] = results["isnet"]["median_ms"] / results["petseg"]["median_ms"]
    return results
