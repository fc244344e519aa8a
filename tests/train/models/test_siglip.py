"""SigLIP in CLIP's place, on a tiny random one with a tokenizer, saved and opened as a user's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, SiglipModel

from export.export import export
from export.verify import verify
from tests.support.launching import write_toml
from tests.support.tiny_clip import SIZES
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config
from train.loops.clip import ClipTrainer
from train.models import build
from train.models.clip import ClipConfig
from train.models.clip_encoders import VisionTransformer
from train.train import main

MakeOptions = Callable[..., ClipConfig]


@pytest.fixture
def options(tiny_siglip: Path) -> MakeOptions:
    def make(**changes: object) -> ClipConfig:
        table = {"encoder": str(tiny_siglip), "layers": [0, 1, 2, 3], "widths": [16, 12, 8, 8]}
        return ClipConfig.model_validate(table | changes)

    return make


def photos(batch: int = 2, side: int = 32) -> Tensor:
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)


def test_maps_photo_and_texts_are_siglips_own(options: MakeOptions, tiny_siglip: Path) -> None:
    texts = {"templates": ["a {}"], "names": [["wall"], ["cat"], ["dog"]]}
    model = build(options(decoder="transformer", widths=[16], photo_embedding=True, **texts))
    image = photos()
    siglip, tokenizer = (
        SiglipModel.from_pretrained(tiny_siglip).eval(),
        AutoTokenizer.from_pretrained(tiny_siglip),
    )
    with torch.no_grad():
        seen = siglip.vision_model(image / 127.5 - 1, output_hidden_states=True)
        # Padded to the length that it learned with, and no mask: padding is read.
        tokens = tokenizer(
            ["a wall", "a cat", "a dog"], padding="max_length", max_length=12, return_tensors="pt"
        )
        said = siglip.get_text_features(tokens.input_ids).pooler_output
    *maps, photo = model.encoder(image)
    for features, layer in zip(maps, (3, 2, 1, 0), strict=True):
        expected = seen.hidden_states[layer + 1].reshape(2, 4, 4, 32).permute(0, 3, 1, 2)
        assert torch.allclose(features, expected, atol=1e-4)
    assert torch.allclose(photo[:, :, 0, 0], F.normalize(seen.pooler_output, dim=1), atol=1e-4)
    assert torch.allclose(model.texts, F.normalize(said, dim=1), atol=1e-4)
    assert not torch.allclose(model.texts[1], model.texts[2], atol=1e-3)


def test_a_size_that_is_no_multiple_of_the_patch(options: MakeOptions) -> None:
    model = build(options())
    assert model(photos(side=56)).shape == (2, 3, 56, 56)  # the position embeddings are for 32
    with pytest.raises(ValueError, match=r"36 x 36 .* stride 8; the nearest size that does is 32 x 32"):
        model(photos(side=36))


@pytest.mark.usefixtures("without_plots")
def test_it_trains_and_needs_its_folder_no_longer(
    options: MakeOptions, make_config: Callable[..., Config], tiny_siglip: Path, tmp_path: Path
) -> None:
    here = tmp_path / "siglip"
    shutil.copytree(tiny_siglip, here)
    config = make_config(optim={"epochs": 1}).model_copy(update={"model": options(encoder=str(here))})
    trainer = ClipTrainer(config)
    own = trainer.accelerator.unwrap_model(trainer.model)
    trainer.fit()
    shutil.rmtree(here)
    model, kept = load_checkpoint(config.folder / "best")
    sizes = {"image_size": 32, "patch_size": 8, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
    assert kept.model.architecture == VisionTransformer(kind="siglip", projection_dim=32, **SIZES, **sizes)
    for name, tensor in own.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor), name


@pytest.mark.slow
def test_export_agrees(options: MakeOptions, tmp_path: Path) -> None:
    sources = [{"path": "oxford-iiit-pet", "layout": "oxford"}]
    data = {"sources": sources, "size": 48}
    config = Config.model_validate({"name": "siglip", "data": data, "model": options().resolved()})
    torch.manual_seed(0)
    model = build(config.model)
    with torch.no_grad():  # batch normalisation has seen something
        model.train()(photos(8, 48))
    save_checkpoint(tmp_path / "best", model, config)
    exported = export(tmp_path / "best", half=False)
    path = tmp_path / "siglip.onnx"
    exported.write(path)
    squares = [np.random.default_rng(i).integers(0, 256, (32, 32 + i, 3), np.uint8) for i in range(16)]
    report = verify(tmp_path / "best", path, squares, tolerance=0.01, batch_sizes=(1, 5, 16))
    assert report.agreement > 0.999


@pytest.mark.usefixtures("without_plots")
def test_a_dry_run_tells_whether_a_folder_will_train(
    options: MakeOptions,
    make_config: Callable[..., Config],
    tiny_siglip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = make_config().model_copy(update={"model": options()})
    write_toml(config, tmp_path / "siglip.toml")
    main(["--config", str(tmp_path / "siglip.toml"), "--check"])
    assert "siglip.toml will train." in capsys.readouterr().out

    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_siglip / name, bare)
    with pytest.raises(SystemExit):
        main(["--config", str(tmp_path / "siglip.toml"), "--set", f"model.encoder={bare}", "--check"])
    assert "tokenizer" in capsys.readouterr().err


def test_its_tokens_are_not_in_the_space_of_the_texts(options: MakeOptions) -> None:
    with pytest.raises(ValueError, match="projected: SigLIP has nothing"):
        build(options(projected=True))


def test_a_model_of_another_kind_is_refused(options: MakeOptions, tiny_siglip: Path, tmp_path: Path) -> None:
    config = json.loads((tiny_siglip / "config.json").read_text()) | {"model_type": "siglip2"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for attempt in (options(encoder=str(tmp_path)).resolved, lambda: build(options(encoder=str(tmp_path)))):
        with pytest.raises(
            ValueError, match=r"of the type 'siglip2': .* CLIPModel and SiglipModel are opened"
        ):
            attempt()
