"""A look into an ONNX file before ONNX Runtime gets it, without the onnx package.

Walks protobuf's wire format: https://protobuf.dev/programming-guides/encoding/. Field numbers are those
of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from collections.abc import Iterator

_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse_tensor",
        23: "sparse_tensor",
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
}
"""Message -> its fields (by number) that may hold tensors further down."""

_MOST = 1_000_000
"""Fields in all: real models have some ten thousands; a file of nothing else would be walked for minutes."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""Fields of a tensor that send the reader to another file."""


def has_external_data(data: bytes) -> bool:
    """Whether any tensor of the model keeps its values in another file.

    Args:
        data: a serialised ONNX ModelProto.

    Raises:
        ValueError: the bytes are not protobuf, or have more fields than a model.
    """
    try:
        return _refers_elsewhere(memoryview(data), "model", iter(range(_MOST)))
    except RecursionError as error:
        raise ValueError("no protobuf message") from error


def input_ranks(data: bytes) -> dict[str, int]:
    """Name -> number of axes, of the model's inputs that are tensors and say their shape.

    Args:
        data: a serialised ONNX ModelProto.

    Raises:
        ValueError: the bytes are not protobuf.
    """
    ranks = {}
    for value in _descend(memoryview(data), 7, 11):  # graph, input
        name = b"".join(_descend(value, 1)).decode("utf-8", "replace")
        for shape in _descend(value, 2, 1, 2):  # type, tensor_type, shape
            ranks[name] = sum(1 for _ in _descend(shape, 1))
    return ranks


def _descend(message: memoryview, number: int, *rest: int) -> Iterator[memoryview]:
    """The messages or texts at the end of a path of field numbers."""
    for found, value in _fields(message):
        if found == number and not isinstance(value, int):
            if rest:
                yield from _descend(value, *rest)
            else:
                yield value


def _refers_elsewhere(message: memoryview, kind: str, budget: Iterator[int]) -> bool:
    for number, value in _fields(message):
        if next(budget, None) is None:
            raise ValueError(f"it has more than {_MOST:,} fields")
        if kind == "tensor":
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == 1):
                return True
        elif (child := _CHILDREN[kind].get(number)) is not None:
            if isinstance(value, int):
                raise ValueError(f"field {number} of a {kind} is no message")
            if _refers_elsewhere(value, child, budget):
                return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The (number, value) of each field: an int for varints, the raw bytes for everything else."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at + length > len(message):
            raise ValueError("a field runs past the end")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at == len(message):
            raise ValueError("a varint runs past the end")
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("a varint has more than ten bytes")
