"""Take back what rounding the weights adds to the mean of every channel.

Bias correction (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
arXiv:1906.04721, section 4.2), with the means that a convolution takes measured on photos. Rounding errors of
one row of weights do not cancel where what they are multiplied by is mostly positive, as it is behind a ReLU.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.graph.rewrite import each_answer, groups_of

Means = dict[str, NDArray[np.float64]]
"""Tensor -> (C,): mean of each of its channels."""


def measure_means(model: onnx.ModelProto, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> Means:
    """Of everything that convolutions take, over all feeds.

    Args:
        model: in float32.
        feeds: its inputs, of batch 1.
    """
    names = sorted({node.input[0] for node in model.graph.node if node.op_type == "Conv"})
    means = {name: np.zeros(()) for name in names}
    for answer in each_answer(model, feeds, names):
        for name, values in answer.items():
            means[name] = means[name] + values.mean((0, 2, 3), dtype=np.float64) / len(feeds)
    return means


def correct(quantised: onnx.ModelProto, original: onnx.ModelProto, means: Means) -> None:
    """Change the biases of a graph in QDQ form in place, so that rounded weights give the same means.

    Args:
        quantised: as `onnxruntime.quantization` writes it.
        original: the float32 graph that it was made from.
        means: of the original.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in original.graph.initializer}
    convolutions = {node.name: node for node in original.graph.node if node.op_type == "Conv"}
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    restored = {node.output[0]: node for node in quantised.graph.node if node.op_type == "DequantizeLinear"}
    for node in quantised.graph.node:
        if node.op_type != "Conv" or len(node.input) < 3 or not restored.keys() >= set(node.input[1:]):
            continue
        before = convolutions[node.name]
        rounded, bias = (restored[name] for name in node.input[1:])
        error = (_values(rounded, tensors) - weights[before.input[1]]).sum((2, 3))
        by_group = error.reshape(groups_of(before), -1, error.shape[1])
        taken = means[before.input[0]].reshape(groups_of(before), -1)
        added = np.einsum("goi,gi->go", by_group, taken).ravel()
        stored, step = (tensors[name] for name in bias.input[:2])
        steps = np.rint(added / numpy_helper.to_array(step).astype(np.float64))
        values = (numpy_helper.to_array(stored) - steps).astype(np.int32)
        stored.CopyFrom(numpy_helper.from_array(values, stored.name))


def _values(restored: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> NDArray[np.float64]:
    """What a DequantizeLinear gives for (O, ...) integers with a scale per row, or one for all."""
    integers, scale = (numpy_helper.to_array(tensors[name]) for name in restored.input[:2])
    values: NDArray[np.float64] = integers.astype(np.float64) * scale.reshape(-1, *[1] * (integers.ndim - 1))
    return values
