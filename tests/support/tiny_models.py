"""Tiny models that keep the ONNX contract: reddish pixels are cat, bluish ones dog."""

import json
from pathlib import Path
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

_WEIGHTS = {
    "weights": np.array([[0, 0, 0], [20, -10, -10], [-10, -10, 20]], np.float32)[..., None, None] / 255,
    "bias": np.array([0, -3, -3], np.float32),
    "evidence": np.array([[0, 0], [40, -40], [40, -40]], np.float32)[..., None, None],
    "doubt": np.array([0, -20, -20], np.float32),
    "nothing": np.zeros(1, np.float32),
}


def _see(colour: str) -> list[onnx.NodeProto]:
    """Reddish is cat, bluish is dog, the rest background."""
    return [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "weights", "bias"], [colour]),
    ]


def _heed(colour: str) -> list[onnx.NodeProto]:
    """Only around positive evidence."""
    return [
        helper.make_node("Conv", ["prompt", "evidence", "doubt"], ["asked"]),
        helper.make_node("Min", ["asked", "nothing"], ["against"]),
        helper.make_node("Add", [colour, "against"], ["logits"]),
    ]


def _assemble(
    nodes: list[onnx.NodeProto],
    inputs: list[str],
    outputs: list[str],
    document: dict[str, Any],
    batch: int | str,
) -> onnx.ModelProto:
    side = document["size"] if isinstance(document.get("size"), int) else SIZE
    sides = {"image": [3, side, side], "prompt": [2, side, side], "features_1": [3, 1, 1]}

    def declare(name: str) -> onnx.ValueInfoProto:
        kind = TensorProto.UINT8 if name == "image" else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, [batch, *sides.get(name, [3, side, side])])

    used = {name for node in nodes for name in node.input}
    constants = [numpy_helper.from_array(value, name) for name, value in _WEIGHTS.items() if name in used]
    graph = helper.make_graph(nodes, "tiny", [*map(declare, inputs)], [*map(declare, outputs)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"petseg": json.dumps(document)})
    return model


def build_model(
    prompts: bool = False, document: dict[str, Any] | None = None, batch: int | str = "batch"
) -> onnx.ModelProto:
    """A model in one graph, which takes prompts or not."""
    document = document or (PROMPTABLE if prompts else manifest())
    nodes = [*_see("colour"), *_heed("colour")] if prompts else _see("logits")
    return _assemble(nodes, ["image", "prompt"] if prompts else ["image"], ["logits"], document, batch)


def build_part(
    part: str, document: dict[str, Any] | None = None, batch: int | str = "batch"
) -> onnx.ModelProto:
    """The encoder or the decoder of a model in two graphs; together they answer like `build_model(True)`."""
    document = (document or PROMPTABLE) | {"part": part}
    features = ["features_0", "features_1"]
    if part == "encoder":
        # The second is the photo's mean colour, in which the decoder finds nothing of interest.
        mean = helper.make_node("GlobalAveragePool", ["pixels"], ["features_1"])
        return _assemble([*_see("features_0"), mean], ["image"], features, document, batch)
    nodes = [
        helper.make_node("Mul", ["features_1", "nothing"], ["ignored"]),
        helper.make_node("Add", ["features_0", "ignored"], ["colour"]),
        *_heed("colour"),
    ]
    return _assemble(nodes, [*features, "prompt"], ["logits"], document, batch)


def save_parts(folder: Path, document: dict[str, Any] | None = None) -> Path:
    """Write encoder.onnx and decoder.onnx; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("encoder", "decoder"):
        onnx.save(build_part(part, document), folder / f"{part}.onnx")
    return folder
