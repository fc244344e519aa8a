"""Bias correction takes back what rounded weights add to the means."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.graph.correct import correct, measure_means

Feeds = list[dict[str, NDArray[np.float32]]]


class Reader(CalibrationDataReader):
    def __init__(self, feeds: Feeds) -> None:
        self.feeds: Iterator[dict[str, NDArray[np.float32]]] = iter(feeds)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.feeds, None)


@pytest.fixture
def feeds() -> Feeds:
    """Positive everywhere, as behind a ReLU, and of another mean in each channel."""
    generator = np.random.default_rng(0)
    scale = np.linspace(0.5, 3, 8, dtype=np.float32)[:, None, None]
    return [{"image": scale * generator.random((1, 8, 12, 12), np.float32)} for _ in range(3)]


@pytest.fixture(params=[1, 2, 8], ids=["dense", "grouped", "depthwise"])
def model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    generator = np.random.default_rng(1)
    weight = generator.normal(size=(16, 8 // request.param, 3, 3)).astype(np.float32)
    # Small beside the largest of its row: all of them are rounded to nothing, which adds up.
    weight[:, :, 1:] = 0.003
    weight[:, 0, 0, 0] = 1
    bias = generator.normal(size=16).astype(np.float32)
    node = helper.make_node("Conv", ["image", "weight", "bias"], ["answer"], "conv", group=request.param)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 12, 12])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 16, 10, 10])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def quantised(model: onnx.ModelProto, feeds: Feeds, folder: Path) -> onnx.ModelProto:
    path = folder / "int8.onnx"
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    quantize_static(
        copy,
        path,
        Reader(feeds),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(path)


def means(model: onnx.ModelProto, feeds: Feeds) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.mean([session.run(None, feed)[0] for feed in feeds], axis=(0, 1, 3, 4))


def test_the_means_come_back(model: onnx.ModelProto, feeds: Feeds, tmp_path: Path) -> None:
    expected = means(model, feeds)
    rounded = quantised(model, feeds, tmp_path)
    before = np.abs(means(rounded, feeds) - expected).mean()
    correct(rounded, model, measure_means(model, feeds))
    after = np.abs(means(rounded, feeds) - expected).mean()
    assert before > 0.01
    assert after < before / 5


def test_means_are_of_all_feeds(model: onnx.ModelProto, feeds: Feeds) -> None:
    (name, found), *others = measure_means(model, feeds).items()
    assert (name, others) == ("image", [])
    assert found == pytest.approx(np.mean([feed["image"] for feed in feeds], axis=(0, 1, 3, 4)), rel=1e-5)
