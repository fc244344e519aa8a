"""Equalisation changes ranges, not the function."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from export.export import Exported
from export.graph.equalise import TARGET, equalise, find_ranges, trace


def run(model: onnx.ModelProto, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": image})[0]


def unbalance(model: onnx.ModelProto, factor: float) -> None:
    """Make the first channel of every residual stream and bottleneck `factor` times as large as before."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.output[0] in linear(model):
            for name in node.input[1:]:
                values = numpy_helper.to_array(tensors[name]).copy()
                values[0] *= factor
                tensors[name].CopyFrom(numpy_helper.from_array(values, name))


def linear(model: onnx.ModelProto) -> set[str]:
    """Outputs of convolutions that only go into other convolutions."""
    users: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    return {name for node in model.graph.node for name in node.output if users.get(name) == {"Conv"}}


@pytest.fixture(scope="session")
def feeds() -> list[dict[str, NDArray[np.uint8]]]:
    generator = np.random.default_rng(0)
    return [{"image": generator.integers(0, 256, (1, 3, 64, 64), np.uint8)} for _ in range(4)]


@pytest.fixture(scope="session")
def graph(float32_model: Exported) -> bytes:
    return float32_model.graphs["model"]


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_function_stays(graph: bytes, feeds: list[dict[str, NDArray[np.uint8]]], strength: float) -> None:
    model = onnx.load_from_string(graph)
    unbalance(model, 50)
    expected = [run(model, feed["image"]) for feed in feeds]
    equalise(model, feeds, strength)
    # Photos that nothing was measured on are treated alike: the factors are in the weights.
    for before, feed in zip(expected, feeds, strict=True):
        assert run(model, feed["image"]) == pytest.approx(before, abs=1e-3 * float(np.abs(before).max()))


def free_ranges(model: onnx.ModelProto, feeds: list[dict[str, NDArray[np.uint8]]]) -> NDArray[np.float64]:
    """The largest value of each set of channels that share a factor and may be scaled; 0 for a dead one."""
    channels = trace(model)
    ranges = find_ranges(model, feeds, channels)
    fixed = {channels.root(channel) for channel in channels.fixed}
    roots = {channels.root(channel) for channel in range(len(channels))}
    return ranges[sorted(roots - fixed)]


def test_ranges_become_similar(graph: bytes, feeds: list[dict[str, NDArray[np.uint8]]]) -> None:
    model = onnx.load_from_string(graph)
    unbalance(model, 50)
    before = free_ranges(model, feeds)
    assert before.max() > 5 * np.median(before)
    equalise(model, feeds, 1.0)
    after = free_ranges(model, feeds)
    alive = before > 1e-2
    assert alive.any()
    assert after[alive] == pytest.approx(TARGET, rel=1e-2)


def test_strength_0_changes_nothing(graph: bytes, feeds: list[dict[str, NDArray[np.uint8]]]) -> None:
    model = onnx.load_from_string(graph)
    equalise(model, feeds, 0.0)
    for before, after in zip(
        onnx.load_from_string(graph).graph.initializer, model.graph.initializer, strict=True
    ):
        assert (numpy_helper.to_array(before) == numpy_helper.to_array(after)).all()


def test_relu6_cuts_what_it_cut_before(graph: bytes, feeds: list[dict[str, NDArray[np.uint8]]]) -> None:
    model = onnx.load_from_string(graph)
    channels = trace(model)
    before = find_ranges(model, feeds, channels)
    clipped = sorted({channels.root(channel) for channel in channels.clipped})
    assert clipped
    cut = [root for root in clipped if before[root] >= TARGET]
    equalise(model, feeds, 1.0)
    after = find_ranges(model, feeds, trace(model))
    assert (after[clipped] >= before[clipped] * (1 - 1e-5)).all(), "none was made smaller"
    assert after[cut] == pytest.approx(before[cut], rel=1e-5)
