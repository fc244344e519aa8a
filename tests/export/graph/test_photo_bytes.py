"""The photo's bytes are the first convolution's input."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from export.errors import ExportError
from export.export import Exported
from export.graph import photo_bytes


def run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def test_the_function_stays_but_for_half_a_grey_level_outside(float32_model: Exported) -> None:
    model = onnx.load_from_string(float32_model.graphs["model"])
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), np.uint8)
    expected = run(model, image)
    photo_bytes.fold(model)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node][:3] == ["Cast", "Sub", "Conv"]
    # Zero padding was black + white halved, 127.5, and is 127 now.
    assert run(model, image) == pytest.approx(expected, abs=0.01 * float(np.abs(expected).max()))


def first_layer(*nodes: onnx.NodeProto, channels: int = 3) -> onnx.ModelProto:
    """Nodes from "image" to "x", and a 1 x 1 convolution of that which gives each channel back."""
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None]
    constants = {"w": weight, "b": np.zeros(channels, np.float32), "s": np.array([2, 4, 8], np.float32)}
    constants["s"] = constants["s"].reshape(1, 3, 1, 1)
    return helper.make_model(
        helper.make_graph(
            [*nodes, helper.make_node("Conv", ["x", "w", "b"], ["y"])],
            "first",
            [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["batch", 3, 8, 8])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
            [numpy_helper.from_array(values, name) for name, values in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def test_each_channel_has_its_own_normalisation() -> None:
    model = first_layer(
        helper.make_node("Cast", ["image"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Div", ["f", "s"], ["x"]),
    )
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8), np.uint8)
    expected = run(model, image)
    photo_bytes.fold(model)
    assert run(model, image) == pytest.approx(expected, abs=1e-4)


def test_what_is_not_linear_is_refused() -> None:
    model = first_layer(
        helper.make_node("Cast", ["image"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sqrt", ["f"], ["x"]),
    )
    with pytest.raises(ExportError, match="linear"):
        photo_bytes.fold(model)


def test_a_model_without_convolutions_is_refused(float32_model: Exported) -> None:
    model = onnx.load_from_string(float32_model.graphs["model"])
    del model.graph.node[:]
    with pytest.raises(ExportError, match="no convolution"):
        photo_bytes.fold(model)
