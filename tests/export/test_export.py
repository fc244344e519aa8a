import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export import half
from export.errors import ExportError
from export.export import EMBEDDED_LIMIT, Exported, embed, main, to_onnx
from export.graph.describe import petseg_version, read_metrics, training_data
from export.graph.parts import split
from export.graph.rewrite import SMALL, store_half
from petseg.models import catalog
from petseg.segmenter import Segmenter
from train.checkpoint import checkpoint_sha256, load_checkpoint
from train.config import Config
from train.models import parameter_count

ROOT = Path(__file__).parents[2]


def document_of(path: Path) -> dict[str, Any]:
    (entry,) = onnx.load(path).metadata_props
    assert entry.key == "petseg"
    return json.loads(entry.value)


def test_keeps_the_contract_that_petseg_checks(exported: Path) -> None:
    manifest = Segmenter(exported, device="cpu", threads=1).manifest
    assert (manifest.name, manifest.size, manifest.prompts) == ("tiny", 32, ())


def test_is_loadable_by_older_runtimes(exported: Path) -> None:
    model = onnx.load(exported)
    assert model.ir_version <= 10
    assert [(opset.domain, opset.version <= 21) for opset in model.opset_import] == [("", True)]
    assert model.producer_name == "petseg"


def test_metadata_describe_the_checkpoint(exported: Path, checkpoint: Path) -> None:
    model, _ = load_checkpoint(checkpoint)
    assert document_of(exported) == {
        "format": 1,
        "name": "tiny",
        "version": petseg_version(),
        "classes": ["background", "cat", "dog"],
        "size": 32,
        "fit": "letterbox",
        "fill": 127,
        "prompts": [],
        "training_data": "Oxford-IIIT Pet (subset), my-cats",
        "metrics": {},
        "checkpoint_sha256": checkpoint_sha256(checkpoint),
        "parameters": parameter_count(model),
    }


@pytest.mark.parametrize("which", ["exported", "exported_float32", "exported_mobilenet"])
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_answers_like_torch_for_any_batch(which: str, batch: int, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(which)
    folder = request.getfixturevalue("mobilenet_checkpoint" if "mobilenet" in which else "checkpoint")
    model, config = load_checkpoint(folder)
    side = config.data.size
    images = np.random.default_rng(batch).integers(0, 256, (batch, 3, side, side), np.uint8)
    (logits,) = onnxruntime.InferenceSession(path).run(["logits"], {"image": images})
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    assert logits.shape == (batch, 3, side, side)
    assert np.abs(logits - expected).max() < (1e-4 if which == "exported_float32" else 5e-3)


@pytest.mark.parametrize("which", ["exported", "exported_mobilenet"])
def test_batch_normalisation_is_folded(which: str, request: pytest.FixtureRequest) -> None:
    nodes = onnx.load(request.getfixturevalue(which)).graph.node
    operators = collections.Counter(node.op_type for node in nodes)
    assert operators["Conv"] > 0
    assert operators["BatchNormalization"] == operators["Identity"] == operators["Constant"] == 0


def kinds_of(model: onnx.ModelProto) -> set[int]:
    return {tensor.data_type for tensor in model.graph.initializer}


def test_weights_are_fp16_unless_asked_otherwise(exported: Path, exported_float32: Path) -> None:
    assert TensorProto.FLOAT16 in kinds_of(onnx.load(exported))
    assert TensorProto.FLOAT16 not in kinds_of(onnx.load(exported_float32))
    assert exported.stat().st_size < exported_float32.stat().st_size


def test_fp16_storage_halves_the_file_and_costs_no_time(exported_mobilenet: Path, tmp_path: Path) -> None:
    assert exported_mobilenet.stat().st_size < 2.3 * document_of(exported_mobilenet)["parameters"]
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(exported_mobilenet, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    assert sum(node.op_type == "Cast" for node in nodes) == 1  # the photo's; those of weights are folded


def test_same_checkpoint_same_bytes(exported: Path, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "made" / "again.onnx"
    assert main([str(checkpoint), "-o", str(path)]) == 0
    assert path.read_bytes() == exported.read_bytes()


@pytest.mark.slow
def test_same_bytes_from_another_process(exported: Path, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.onnx"
    command = [sys.executable, "-m", "export.export", str(checkpoint), "-o", str(path)]
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert path.read_bytes() == exported.read_bytes()


@pytest.mark.parametrize("which", ["exported", "exported_float32", "exported_mobilenet"])
def test_nothing_of_this_machine_is_inside(
    which: str, checkpoint: Path, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(which).read_bytes()
    for trace in (
        str(ROOT),
        str(checkpoint.parent),
        sys.prefix,
        "site-packages",
        "stack_trace",
        "train.models",
    ):
        assert trace.encode() not in data


def test_segmenter_takes_the_file(exported: Path) -> None:
    photo = np.full((30, 50, 3), 90, np.uint8)
    assert Segmenter(exported, device="cpu", threads=1)(photo).mask.shape == (30, 50)


class Promptable(nn.Module):
    prompts = ("point", "box")

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        return self.convolution(torch.cat([image.float() / 255, prompt], 1))


def test_a_promptable_model_gets_its_second_input() -> None:
    (part,) = split(Promptable().eval(), 16)  # it has no encoder whose work another prompt could use
    session = onnxruntime.InferenceSession(to_onnx(part).SerializeToString())
    found = [(value.name, value.type, value.shape) for value in session.get_inputs()]
    assert found == [
        ("image", "tensor(uint8)", ["batch", 3, 16, 16]),
        ("prompt", "tensor(float)", ["batch", 2, 16, 16]),
    ]
    inputs = {"image": np.zeros((3, 3, 16, 16), np.uint8), "prompt": np.zeros((3, 2, 16, 16), np.float32)}
    assert session.run(["logits"], inputs)[0].shape == (3, 3, 16, 16)


def test_a_model_with_other_logits_is_refused() -> None:
    class Half(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image[:, :, ::2, ::2].float()

    with pytest.raises(ExportError, match=r"\(2, 3, 8, 8\), must be \(2, 3, 16, 16\)"):
        split(Half(), 16)


@pytest.mark.parametrize(
    ("values", "stays"),
    [
        (np.linspace(-2, 2, SMALL), False),
        (np.linspace(-2, 2, SMALL - 1), True),
        (np.linspace(-1e5, 1e5, SMALL), True),
        (np.linspace(-1e-7, 1e-7, SMALL), True),
    ],
    ids=["ordinary", "small tensor", "too large for fp16", "too small for fp16"],
)
def test_store_half_spares_what_fp16_cannot_hold(values: np.ndarray, stays: bool) -> None:
    weights = values.astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(weights)]) for name in "xy"]
    add = helper.make_node("Add", ["x", "weights"], ["y"])
    graph = helper.make_graph([add], "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    store_half(model)
    (tensor,) = model.graph.initializer
    assert tensor.data_type == (TensorProto.FLOAT if stays else TensorProto.FLOAT16)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (answer,) = session.run(None, {"x": np.zeros(len(weights), np.float32)})
    np.testing.assert_allclose(answer, weights, rtol=0, atol=np.abs(weights).max() * 2**-10)


def test_training_data_names_sources_and_start() -> None:
    sources = [{"path": "pets-extra"}, {"path": "/home/me/my-cats"}, {"path": "pets-extra"}]
    config = {"name": "tiny", "data": {"sources": sources}}
    start = {"encoder": "mobilenet_v2", "weights": "../w/mobilenet_v2-voc.safetensors"}
    data = "pets-extra (COCO, feral-cat scenes, StanfordExtra, DAVIS), my-cats"
    assert training_data(Config(**config, model={})) == data
    text = training_data(Config(**config, model=start))
    assert text == f"{data}, encoder started from COCO and Pascal VOC"
    text = training_data(Config(**config, model=start, start="/home/me/runs/first/best"))
    assert text == f"{data}, continued from first/best"


def test_read_metrics_keeps_plain_figures_and_iou(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    report = {"miou": 0.9, "missed": 1, "coursework_miou": float("nan"), "confusion_matrix": [[1]]}
    ious = {"iou": {"background": 0.9, "cat": float("nan"), "dog": 0.8}, "dice": {"dog": 0.9}}
    path.write_text(json.dumps({"runs/a": report | ious, "runs/b": {"miou": 0.1}}))
    expected = {"miou": 0.9, "missed": 1, "iou": {"background": 0.9, "dog": 0.8}}
    assert read_metrics(path, Path("runs/a")) == expected
    with pytest.raises(ValueError, match="not on runs/c"):
        read_metrics(path, Path("runs/c"))
    path.write_text(json.dumps({"runs/a": report | ious}))
    assert read_metrics(path, Path("runs/c")) == expected


def test_embedded_models_are_found_by_the_catalogue(
    exported: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path / "weights")
    graphs, document = {"model": exported.read_bytes()}, document_of(exported)
    embed(Exported(document, graphs), catalog.WEIGHTS)
    embed(Exported(document | {"name": "another"}, graphs), catalog.WEIGHTS)
    assert [info.name for info in catalog.list_models()] == ["tiny", "another"]
    assert Segmenter(device="cpu", threads=1).name == "tiny"


def test_too_much_embedded_weight_is_refused(exported: Path, tmp_path: Path) -> None:
    document = document_of(exported)

    def put(name: str, size: int) -> None:
        embed(Exported(document | {"name": name}, {"model": bytes(size)}), tmp_path)

    put("tiny", EMBEDDED_LIMIT - 1000)
    before = (tmp_path / "index.json").read_bytes()
    with pytest.raises(ExportError, match="more than 40,000,000"):
        put("drop", 1001)
    assert not (tmp_path / "drop.onnx").exists()
    assert (tmp_path / "index.json").read_bytes() == before
    put("tiny", 1001)  # replaces, and so counts once


@pytest.mark.parametrize("name", ["../tiny", "Tiny", "a b", "-x", "tiny.onnx"])
def test_a_name_that_is_no_file_name_is_not_embedded(name: str, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be embedded"):
        embed(Exported(document_of(exported) | {"name": name}, {"model": b""}), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--size", "33"], "nearest size that does is 32 x 32"), (["--metrics", "none.json"], "none.json")],
)
def test_command_line_says_why_not(
    arguments: list[str], message: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.onnx"
    assert main([str(checkpoint), "-o", str(path), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not path.exists()


def test_command_line_refuses_what_is_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "-o", str(tmp_path / "x.onnx")]) == 1
    assert "config.json" in capsys.readouterr().err


def test_only_models_of_petsegs_are_replaced(exported: Path, tmp_path: Path) -> None:
    model = Exported(document_of(exported), {"model": exported.read_bytes()})
    theirs = onnx.ModelProto(producer_name="somebody").SerializeToString()
    for index, data in enumerate((theirs, b"a diary", exported.read_bytes()[:100])):
        path = tmp_path / f"{index}.onnx"
        path.write_bytes(data)
        with pytest.raises(ExportError, match="is there and no model of petseg's"):
            model.write(path)
        assert path.read_bytes() == data
        model.write(path, force=True)
        model.write(path)
    assert half.main([str(exported), "-o", str(path)]) == 0
    path.write_bytes(b"a diary")
    assert half.main([str(exported), "-o", str(path)]) == 1
    assert path.read_bytes() == b"a diary"


def test_command_line_wants_a_target(checkpoint: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(checkpoint)])
