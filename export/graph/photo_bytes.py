"""The photo's own bytes as the 8-bit input of a network's first convolution.

Written out, an int8 network makes floats of the photo, normalises them and rounds them to bytes again.
Instead, normalisation goes into the first convolution's weights (`fold`), and once the graph is quantised its
input is what the photo already is (`connect`).
"""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError
from export.graph.rewrite import asked_for, drop_unused, store

GREY = 127
"""What is taken from every byte, and so what zero padding stands for: the colour around photos."""

_CENTRED = "photo_centred"
NODES = ("photo_to_float", "photo_less_grey")
"""Names of the nodes between the photo and the first convolution, from `fold` to `connect`."""


def fold(model: onnx.ModelProto) -> None:
    """Let the first convolution of a float32 graph take the photo less `GREY`, in place.

    Args:
        model: normalises its photos channel by channel by a linear function.

    Raises:
        ExportError: its first convolution takes something else.
    """
    nodes = list(model.graph.node)
    place = next((place for place, node in enumerate(nodes) if node.op_type == "Conv"), None)
    if place is None:
        raise ExportError("the model has no convolution to take the photo")
    convolution, before = nodes[place], nodes[:place]
    first, slope = _normalisation(model, convolution.input[0])
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weight, bias = (tensors[name] for name in convolution.input[1:])
    values = numpy_helper.to_array(weight).astype(np.float64)
    if values.shape[1] != len(slope):
        raise ExportError("the first convolution does not take the photo's channels")
    by_channel = values.sum((2, 3))
    store(weight, values * slope[:, None, None])
    store(bias, numpy_helper.to_array(bias) + by_channel @ (first + GREY * slope))
    model.graph.initializer.append(numpy_helper.from_array(np.array(GREY, np.float32), "grey"))
    for node in before:
        model.graph.node.remove(node)
    to_float = helper.make_node("Cast", ["image"], ["photo_float"], NODES[0], to=TensorProto.FLOAT)
    less_grey = helper.make_node("Sub", ["photo_float", "grey"], [_CENTRED], NODES[1])
    for index, node in enumerate((to_float, less_grey)):
        model.graph.node.insert(index, node)
    convolution.input[0] = _CENTRED
    drop_unused(model)


def _normalisation(model: onnx.ModelProto, tensor: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a tensor is for a black photo, and by how much it grows with each grey level, (C,) each."""
    session = asked_for(model, [tensor])
    (image,) = session.get_inputs()
    size = image.shape[-1]

    def shown(levels: Sequence[int]) -> NDArray[np.float64]:
        photos = [np.full((1, 3, size, size), level, np.uint8) for level in levels]
        values = [session.run([tensor], {image.name: photo})[0] for photo in photos]
        return np.array([value[0].mean((1, 2), dtype=np.float64) for value in values])

    black, middle, white = shown((0, 51, 255))
    slope = (white - black) / 255
    if not np.allclose(middle, black + 51 * slope, atol=1e-4 * float(np.abs(white - black).max())):
        raise ExportError("the model does not normalise its photos by a linear function")
    return black, slope


def connect(model: onnx.ModelProto) -> None:
    """Feed the bytes themselves to the first convolution of a graph in QDQ form, in place.

    Args:
        model: after `fold`, quantised without `NODES`.
    """
    graph = model.graph
    (rounded,) = (node for node in graph.node if _CENTRED in node.input)
    (restored,) = (node for node in graph.node if rounded.output[0] in node.input)
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "photo_scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(GREY, np.uint8), "photo_zero"))
    restored.input[:] = ["image", "photo_scale", "photo_zero"]
    for node in [node for node in graph.node if node.name in NODES or node == rounded]:
        graph.node.remove(node)
