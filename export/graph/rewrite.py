"""What is done to an ONNX graph after torch has written it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SMALL = 4096
"""Tensors with fewer elements stay float32.

Biases, constants and the first layers, whose rounding the whole network amplifies: in the U-Net they are
4 % of the weights and make nine tenths of the error that fp16 costs.
"""

_ROUNDING = 2.0**-10
"""Largest error of fp16 storage, as a share of a tensor's largest value (fp16 itself has 2**-11)."""


def strip_origin(message: Message) -> None:
    """Remove doc strings and metadata at every level.

    torch leaves stack traces there, with paths of the machine that exported.
    """
    for name in ("doc_string", "metadata_props"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in [value] if isinstance(value, Message) else value:
                strip_origin(child)


def store_half(model: onnx.ModelProto) -> None:
    """Store weights as fp16, with a Cast to float32 behind each, so that arithmetic stays float32.

    ONNX Runtime folds the casts when it makes a session: half the file at the same speed. A tensor that
    fp16 cannot hold, for too large or too small values, stays float32.
    """
    casts = []
    for tensor in model.graph.initializer:
        half = _as_half(tensor)
        if half is None:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.float", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def users_of(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Tensor -> the nodes that take it; one that none takes is not there."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def behind(model: onnx.ModelProto, operator: str) -> list[str]:
    """Names of all nodes that depend on what a node of this operator gives."""
    reached = {name for node in model.graph.node if node.op_type == operator for name in node.output}
    names = []
    for node in model.graph.node:  # in topological order
        if reached.intersection(node.input):
            reached.update(node.output)
            names.append(node.name)
    return names


def asked_for(model: onnx.ModelProto, tensors: Sequence[str]) -> onnxruntime.InferenceSession:
    """A session of a copy of the graph that gives these tensors."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(map(helper.make_empty_tensor_value_info, tensors))
    return onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])


def each_answer(
    model: onnx.ModelProto, feeds: Iterable[Mapping[str, NDArray[Any]]], tensors: Sequence[str]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """These tensors for each of the feeds."""
    session = asked_for(model, tensors)
    for feed in feeds:
        yield dict(zip(tensors, session.run(list(tensors), dict(feed)), strict=True))


def groups_of(convolution: onnx.NodeProto) -> int:
    """Into how many groups a convolution's channels are divided."""
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)


def store(tensor: onnx.TensorProto, values: NDArray[np.float64]) -> None:
    """Put other values into an initialiser, as float32."""
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))


def share_scales(model: onnx.ModelProto) -> None:
    """Let what only goes into a concatenation have the scale of its result, so that bytes are merely copied.

    They get that scale in the next step anyway.

    Args:
        model: in QDQ form, as `onnxruntime.quantization` writes it.
    """
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}
    users = users_of(model)
    for concatenation in [node for node in graph.node if node.op_type == "Concat"]:
        (result,) = users[concatenation.output[0]]
        for name in concatenation.input:
            restored = made[name]
            stored = made[restored.input[0]]
            if all(len(users[node.output[0]]) == 1 for node in (stored, restored)):
                for node in (stored, restored):
                    node.input[1:] = result.input[1:]
    drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the initialisers that no node takes."""
    users, graph = users_of(model), model.graph
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in users]:
        graph.initializer.remove(tensor)


def _as_half(tensor: TensorProto) -> np.ndarray | None:
    """The values as float16, or None where they are to stay as they are."""
    if tensor.data_type != TensorProto.FLOAT:
        return None
    values = numpy_helper.to_array(tensor)
    if values.size < SMALL:
        return None
    with np.errstate(over="ignore"):  # infinities are what the comparison below finds
        half = values.astype(np.float16)
    error = np.abs(half.astype(np.float32) - values).max()
    return half if error <= _ROUNDING * np.abs(values).max() else None
