"""The int8 graph as a browser opens it fastest: what ONNX Runtime would fuse at each start is fused once.

In QDQ form a browser spends more time on fusing than on the first photo. The fused file calculates the same
(QLinearConv and its like, with the same scales), is smaller, and has the same metadata; that is checked here.
"""

from pathlib import Path

import numpy as np
import onnxruntime

from export.card.facts import read_document
from export.errors import WebError
from petseg.models.manifest import Manifest
from petseg.pixels.geometry import Letterbox
from petseg.pixels.image import load

CLOSE = 1e-3
"""By how much logits may differ: integers are added in another order nowhere, so hardly at all."""


def fuse(source: Path, target: Path, photo: Path) -> None:
    """Write the fused version of a model, and make sure that it says the same.

    Args:
        source: a whole model in int8.
        target: where to.
        photo: to compare on.

    Raises:
        WebError: it says something else.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Not all that this machine could do: what is above would be for its own processor.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    before = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    after = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    document = read_document(source)
    if read_document(target) != document:
        raise WebError(f"{source.name} lost its metadata when it was fused")
    manifest = Manifest.from_document(document, str(source))
    pixels = load(photo)
    square = Letterbox.fit(pixels.shape[1], pixels.shape[0], manifest.size).apply(pixels, manifest.fill)
    image = np.ascontiguousarray(square.transpose(2, 0, 1)[None])
    said, says = (session.run(["logits"], {"image": image})[0] for session in (before, after))
    if not np.abs(said - says).max() <= CLOSE:
        raise WebError(
            f"{source.name} says something else once it is fused, by {np.abs(said - says).max():g}"
        )
