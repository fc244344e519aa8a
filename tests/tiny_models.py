"""Tiny models that keep the ONNX contract: reddish pixels are cat, bluish ones dog."""

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 64
RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)


def manifest(**changes: Any) -> dict[str, Any]:
    """The metadata of a tiny model; a change to None leaves the field out."""
    document = {
        "format": 1,
        "name": "tiny",
        "version": "1.0",
        "classes": ["background", "cat", "dog"],
        "size": SIZE,
        "fit": "letterbox",
        "fill": 127,
        "prompts": [],
        "training_data": "nothing",
        "metrics": {"miou": 0.5},
        "checkpoint_sha256": "0" * 64,
        "parameters": 12,
    }
    return {key: value for key, value in (document | changes).items() if value is not None}


PROMPTABLE = manifest(name="tiny-prompt", prompts=["point", "box"])


def build_model(
    prompts: bool = False, document: dict[str, Any] | None = None, batch: int | str = "batch"
) -> onnx.ModelProto:
    """Reddish is cat, bluish is dog, the rest background; with prompts, only around positive evidence."""
    document = document or (PROMPTABLE if prompts else manifest())
    side = document["size"] if isinstance(document.get("size"), int) else SIZE
    weights = np.array([[0, 0, 0], [20, -10, -10], [-10, -10, 20]], np.float32) / 255
    constants = [
        numpy_helper.from_array(weights[..., None, None], "weights"),
        numpy_helper.from_array(np.array([0, -3, -3], np.float32), "bias"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "weights", "bias"], ["colour" if prompts else "logits"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, 3, side, side])]
    if prompts:
        evidence = np.array([[0, 0], [40, -40], [40, -40]], np.float32)
        constants += [
            numpy_helper.from_array(evidence[..., None, None], "evidence"),
            numpy_helper.from_array(np.array([0, -20, -20], np.float32), "doubt"),
            numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
        ]
        nodes += [
            helper.make_node("Conv", ["prompt", "evidence", "doubt"], ["asked"]),
            helper.make_node("Min", ["asked", "nothing"], ["against"]),
            helper.make_node("Add", ["colour", "against"], ["logits"]),
        ]
        inputs.append(helper.make_tensor_value_info("prompt", TensorProto.FLOAT, [batch, 2, side, side]))
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3, side, side])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"petseg": json.dumps(document)})
    return model
