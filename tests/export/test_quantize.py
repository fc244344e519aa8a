"""A checkpoint in int8."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from export import quantize
from export.errors import ExportError, QuantisationError
from export.export import Exported, embed
from export.quantize import Comparison, main, quantise, split_photos
from petseg.measure import report_file
from petseg.models import catalog
from petseg.segmenter import Segmenter
from train.checkpoint import load_checkpoint

GOOD = Comparison(3, {"miou": 0.9}, {"miou": 0.8971}, 0.9901, 2.0, 2)


@pytest.fixture
def lax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights and drawn photos: a coarse answer is good enough, and a few photos are."""
    monkeypatch.setattr(quantize, "MAX_DROP", 0.1)
    monkeypatch.setattr(quantize, "MIN_AGREEMENT", 0.8)
    monkeypatch.setattr(quantize, "PHOTOS", 6)


@pytest.fixture(scope="session")
def quantised(float32_model: Exported) -> Exported:
    return quantise(float32_model, list(np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)))


@pytest.fixture
def photos(oxford: Path, tmp_path: Path) -> Path:
    """The drawn photos, in a folder of the name that the checkpoint knows."""
    (tmp_path / "oxford-iiit-pet").symlink_to(oxford)
    return tmp_path / "oxford-iiit-pet"


@pytest.fixture
def arguments(mobilenet_checkpoint: Path, photos: Path) -> list[str]:
    data = ["--calibration", str(photos), "--data", str(photos), "--split", "trainval", "--threads", "1"]
    return [str(mobilenet_checkpoint), *data]


@pytest.mark.usefixtures("lax")
def test_there_and_embedded(
    arguments: list[str],
    float32_model: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def exported(checkpoint: Path, **options: object) -> Exported:
        asked.extend([checkpoint, options])
        return float32_model

    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(quantize, "export", exported)
    embed(float32_model, catalog.WEIGHTS)
    report = tmp_path / "int8.json"
    assert main([*arguments, "--embed", "--json", str(report), "-o", str(tmp_path / "copy.onnx")]) == 0
    assert asked == [Path(arguments[0]), {"name": None, "half": False}]
    measured = report_file.read(report)
    photo = np.random.default_rng(1).integers(0, 256, (50, 64, 3), np.uint8)
    float32, int8 = (Segmenter("tiny", device="cpu", threads=1, precision=p) for p in ("float32", "int8"))
    assert int8.manifest == replace(float32.manifest, precision="int8", metrics=measured["int8"])
    assert measured["int8"]["miou"] > 0
    assert measured["photos"] == 32
    assert (float32(photo).mask == int8(photo).mask).mean() > 0.8
    assert not (float32._network.run(*batch(photo)) == int8._network.run(*batch(photo))).all()
    path = catalog.WEIGHTS / "tiny.int8.onnx"
    assert path.read_bytes() == (tmp_path / "copy.onnx").read_bytes()
    (file,) = catalog.find("tiny").int8
    assert [file.sha256] == list(measured["files"].values())
    assert measured["checkpoint_sha256"] == float32.manifest.checkpoint_sha256
    embed(float32_model, catalog.WEIGHTS)
    assert catalog.find("tiny").int8 == ()
    assert not path.exists(), "it was made of weights that are no more"


def batch(photo: np.ndarray) -> tuple[np.ndarray]:
    return (np.ascontiguousarray(np.resize(photo, (1, 3, 64, 64))),)


def test_what_is_quantised(quantised: Exported, float32_model: Exported) -> None:
    assert (quantised.document["precision"], quantised.document["metrics"]) == ("int8", {})
    graph = onnx.load_from_string(quantised.graphs["model"]).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    dequantised = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert dequantised[convolutions[0].input[0]].input[0] == "image", "the photo's own bytes"
    for convolution in convolutions:
        weight = dequantised[convolution.input[1]]
        assert kinds[weight.input[0]] == onnx.TensorProto.INT8
        scales = next(tensor for tensor in graph.initializer if tensor.name == weight.input[1])
        assert len(scales.dims) == 1, "one scale per channel"
        assert kinds[dequantised[convolution.input[0]].input[2]] == onnx.TensorProto.UINT8
    assert len(quantised.graphs["model"]) < 0.5 * len(float32_model.graphs["model"])


def test_concatenations_share_a_scale(quantised: Exported) -> None:
    graph = onnx.load_from_string(quantised.graphs["model"]).graph
    made = {node.output[0]: node for node in graph.node}
    concatenations = [node for node in graph.node if node.op_type == "Concat"]
    assert concatenations
    for node in concatenations:
        (result,) = (user for user in graph.node if node.output[0] in user.input)
        enlarged = made[node.input[0]]
        assert list(enlarged.input[1:]) == list(result.input[1:])
        assert list(made[enlarged.input[0]].input[1:]) == list(result.input[1:])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"int8": {"miou": 0.8969}}, r"mIoU falls by 0\.0031, allowed are 0\.003"),
        ({"int8": {"miou": float("nan")}}, "mIoU falls by nan"),
        ({"agreement": 0.9899}, r"98\.990% of the pixels get the same class, needed are 99\.0%"),
        ({"agreement": float("nan")}, "nan% of the pixels"),
    ],
)
def test_what_is_good_enough(changes: dict[str, object], problem: str | None) -> None:
    comparison = replace(GOOD, **changes)
    if problem is None:
        comparison.check()
    else:
        with pytest.raises(QuantisationError, match=problem):
            comparison.check()


def test_what_is_not_good_enough_is_not_written(
    arguments: list[str],
    float32_model: Exported,
    quantised: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(quantize, "export", lambda *checkpoint, **options: float32_model)
    monkeypatch.setattr(quantize, "quantise", lambda *model: quantised)
    monkeypatch.setattr(quantize, "MAX_DROP", -1.0)
    embed(float32_model, catalog.WEIGHTS)
    before = (catalog.WEIGHTS / "index.json").read_bytes()
    output, report = tmp_path / "model.onnx", tmp_path / "int8.json"
    assert main([*arguments, "--embed", "-o", str(output), "--json", str(report)]) == 1
    assert "was not quantised: mIoU falls by" in capsys.readouterr().err
    assert not output.exists()
    assert not report.exists()
    assert (catalog.WEIGHTS / "index.json").read_bytes() == before


def test_embedding_beside_another_model(float32_model: Exported, quantised: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="or is not there; embed it first"):
        quantize.embed(quantised, tmp_path)
    other = float32_model.document | {"checkpoint_sha256": "0" * 64}
    embed(replace(float32_model, document=other), tmp_path)
    with pytest.raises(ExportError, match="was exported from another checkpoint"):
        quantize.embed(quantised, tmp_path)


def test_calibration_is_on_training_photos(checkpoint: Path, photos: Path) -> None:
    _, config = load_checkpoint(checkpoint)
    source = config.data.sources[0].model_copy(update={"validation": 0.25})
    config = config.model_copy(update={"data": config.data.model_copy(update={"sources": [source]})})
    training, held_out = split_photos(photos, config)
    names = [{sample.name for sample in samples} for samples in (training, held_out)]
    assert (len(names[0]), len(names[1])) == (24, 8)
    assert not names[0] & names[1]
    with pytest.raises(ExportError, match="none of what the checkpoint was trained on: oxford-iiit-pet"):
        split_photos(photos.parent / "others", config)


def test_two_parts() -> None:
    with pytest.raises(ExportError, match="in two parts"):
        quantise(Exported({}, {"encoder": b"", "decoder": b""}), [])
