from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.isnet import SIDE, IsNet, compare
from petseg.measure.datasets import read_pairs
from tests.support.drawing import draw_labels, write_plain


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Says of each pixel by how much its red exceeds grey, under IS-Net's names and shapes."""
    shape = [1, 3, SIDE, SIDE]
    nodes = [
        helper.make_node("Slice", ["input", "start", "end", "axis"], ["red"]),
        helper.make_node("Sigmoid", ["red"], ["output"]),
    ]
    numbers = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("start", 0), ("end", 1), ("axis", 1))
    ]
    graph = helper.make_graph(
        nodes,
        "isnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        numbers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "isnet.onnx")
    return tmp_path / "isnet.onnx"


def test_what_stands_out_at_the_photos_size(network: Path) -> None:
    photo = np.zeros((60, 100, 3), np.uint8)
    photo[10:40, 20:70, 0] = 255
    mask = IsNet(network, 1)(photo)
    assert (mask.shape, mask.dtype) == ((60, 100), np.uint8)
    expected = photo[..., 0] > 0
    assert (mask == expected).mean() > 0.98


def test_both_on_the_same_photos(network: Path, tmp_path: Path) -> None:
    pairs = read_pairs(write_plain(tmp_path / "data", {f"a{i}": draw_labels(i, 40, 30) for i in range(4)}))
    isnet = IsNet(network, 1)
    results = compare(isnet, lambda photo: np.ones(photo.shape[:2], np.uint8), pairs, 3)
    assert results["photos"] == len(isnet.seconds) == 3
    pets = np.mean([(pair.read_mask() == 1).mean() + (pair.read_mask() == 2).mean() for pair in pairs])
    assert 0.3 * pets < results["petseg"]["pet_iou"] < 3 * pets
    assert results["isnet"]["median_ms"] > results["petseg"]["median_ms"] > 0
    assert results["ratio"] > 1
