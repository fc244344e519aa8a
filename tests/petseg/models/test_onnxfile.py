from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from petseg.models.onnxfile import has_external_data, input_ranks
from tests.support.tiny_models import build_model


def send_elsewhere(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secrets.bin"


def test_a_contained_model() -> None:
    assert not has_external_data(build_model(prompts=True).SerializeToString())


def test_an_initializer_elsewhere() -> None:
    model = build_model()
    send_elsewhere(model.graph.initializer[1])
    assert has_external_data(model.SerializeToString())


@pytest.mark.parametrize("place", ["attribute", "branch", "function"])
def test_a_tensor_elsewhere_deep_inside(place: str) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(4, np.float32)))
    send_elsewhere(constant.attribute[0].t)
    model = build_model()
    if place == "attribute":
        model.graph.node.append(constant)
    elif place == "branch":
        branch = helper.make_graph([constant], "branch", [], [])
        model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    else:
        opset = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "f", [], ["c"], [constant], opset))
    assert has_external_data(model.SerializeToString())


def test_input_ranks() -> None:
    model = build_model(prompts=True)
    del model.graph.input[1].type.tensor_type.shape.dim[0]
    model.graph.input.append(helper.make_tensor_value_info("anything", TensorProto.FLOAT, None))
    assert input_ranks(model.SerializeToString()) == {"image": 4, "prompt": 3}


def test_what_onnx_itself_writes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert has_external_data(path.read_bytes())


@pytest.mark.parametrize(
    "data",
    [b"no protobuf", b"\xff" * 20, b"\x3a\x7f", b"\x38\x01", b"\x39\x00", b"\x08", b"\x08" + b"\x80" * 12],
    ids=["text", "wire type", "past the end", "number as graph", "short", "cut", "endless number"],
)
def test_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"protobuf|wire type|past the end|no message|ten bytes"):
        has_external_data(data)


def test_any_damage_ends_in_an_answer_or_value_error() -> None:
    rng = np.random.default_rng(0)
    sound = build_model(prompts=True).SerializeToString()
    for _ in range(300):
        damaged = bytearray(sound)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            assert has_external_data(bytes(damaged)) in (True, False)
            assert all(rank >= 0 for rank in input_ranks(bytes(damaged)).values())
        except ValueError:
            continue
