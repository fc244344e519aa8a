from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from petseg import Segmenter
from petseg.errors import ModelError
from tests.support.drawing import COLOURS, ByColour
from train.checkpoint import save_checkpoint
from train.config import Config
from train.data.augment import LetterboxTransform, to_tensors
from train.models import build, parameter_count
from train.report import inference
from train.report.inference import Model, letterboxed, open_model, open_models

MakeConfig = Callable[..., Config]


@pytest.mark.parametrize(("width", "height"), [(100, 60), (60, 100), (64, 64), (1, 1)])
def test_a_network_answers_at_the_size_of_the_photo(width: int, height: int) -> None:
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4 : height // 2, width // 4 : width // 2] = 1
    labels[height // 2 :, width // 2 :] = 2
    network = ByColour()
    answer = Model.of_network("colours", network, 64)(COLOURS[labels])
    mask = answer.segmentation.mask
    assert network.shapes == [(1, 3, 64, 64)]
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert (mask == labels).mean() > 0.97
    # In the model's pixels, what it says of the photo and not of the grey around it.
    inner = round(64 * height / max(width, height)), round(64 * width / max(width, height))
    assert (answer.classes.shape, answer.classes.dtype) == (inner, np.uint8)
    smaller = Image.fromarray(labels).resize(inner[::-1], Image.Resampling.NEAREST)
    assert (answer.classes == np.asarray(smaller)).mean() > 0.95


def test_logits_are_resized_before_the_best_class_is_taken() -> None:
    """What petseg does at its default: edges finer than the model's pixels."""

    class Step(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            logits = torch.zeros(1, 3, 4, 4)
            logits[:, 1, :, 2:], logits[:, 1, :, :2] = 4.0, -2.0
            return logits

    answer = Model.of_network("step", Step(), 4)(np.zeros((40, 40, 3), np.uint8)).segmentation.mask
    # Between the centres of columns 1 and 2, at 15 and 25, the cat's logit rises from -2 to 4.
    assert (answer[20] == 1).argmax() == 18


@pytest.mark.parametrize("padding", ["grey", "mean"])
def test_padding_is_what_training_pads_with(photo: np.ndarray, padding: str) -> None:
    _, batch = letterboxed(photo, 64, "mean" if padding == "mean" else 127)
    trained, _ = LetterboxTransform(64, padding)(*to_tensors(photo, np.zeros(photo.shape[:2], np.uint8)))
    assert (batch.shape, batch.dtype) == ((1, 3, 64, 64), torch.uint8)
    assert torch.equal(batch[0, :, :12], torch.as_tensor(trained)[:, :12])


def test_an_exported_model_answers_as_petseg_does(model_path: Path, photo: np.ndarray) -> None:
    model = open_model(str(model_path))
    expected = Segmenter(model_path, device="cpu")(photo)
    answer = model(photo).segmentation
    np.testing.assert_array_equal(answer.mask, expected.mask)
    np.testing.assert_array_equal(answer.probabilities, expected.probabilities)
    assert set(np.unique(answer.mask)) == {0, 1, 2}
    assert (model.size, model.parameters, model.bytes) == (64, 12, model_path.stat().st_size)


def test_a_checkpoint_runs_at_the_size_and_padding_of_its_training(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(data={"padding": "mean"})
    network = build(config.model)
    save_checkpoint(tmp_path / "one", network, config, half=True)
    model = open_model(str(tmp_path / "one"))
    assert (model.size, model.fill, model.parameters) == (32, "mean", parameter_count(network))
    assert model.bytes == (tmp_path / "one/model.safetensors").stat().st_size
    larger = open_model(str(tmp_path / "one"), size=48)
    assert larger(np.zeros((9, 9, 3), np.uint8)).logits.shape == (3, 48, 48)


PROMPT = {"family": "prompt", "unet": {"width": 4, "depth": 2, "upsampling": "bilinear"}}
PROMPT |= {"widths": [8, 8], "blocks": [1, 1], "kernels": [3, 3]}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"data": {"labels": "trimap"}}, r'data\.labels = "trimap".* cannot be compared'),
        ({"model": PROMPT}, r"is pointed at.*python -m train\.evaluate .*one --clicks"),
    ],
)
def test_checkpoints_of_another_kind_are_refused(
    make_config: MakeConfig, tmp_path: Path, tables: dict[str, dict], message: str
) -> None:
    document = make_config().model_dump()
    document["data"] |= tables.get("data", {})
    document["model"] = tables.get("model", document["model"])
    config = Config.model_validate(document)
    save_checkpoint(tmp_path / "one", build(config.model), config)
    with pytest.raises(ValueError, match=message):
        open_model(str(tmp_path / "one"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"family": "contrastive"}, r"train\.zeroshot"),
        ({"family": "autoencoder", "task": "reconstruction"}, "reconstructs photos"),
        ({"family": "clip", "encoder": "nowhere", "oracle_text": True}, r"train\.oracle"),
    ],
)
def test_what_segments_nothing_by_itself_is_refused(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict, message: str
) -> None:
    document = make_config().model_dump() | {"model": model}
    config = Config.model_validate(document)
    monkeypatch.setattr(inference, "load_checkpoint", lambda folder: (nn.Identity(), config))
    with pytest.raises(ValueError, match=message):
        open_model(str(tmp_path))


def test_what_cannot_be_opened_says_why(tmp_path: Path, model_path: Path, prompt_model_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has one size.*leave the size out"):
        open_model(str(model_path), size=64)
    with pytest.raises(ValueError, match="--clicks"):
        open_model(str(prompt_model_path))
    with pytest.raises(FileNotFoundError, match="is not a checkpoint"):
        open_model(str(tmp_path))
    with pytest.raises(ModelError, match="there is no model 'nothing'"):
        open_model("nothing")
    with pytest.raises(ValueError, match="given more than once"):
        open_models([str(model_path), str(model_path)])
