"""The CLIP family on a tiny random CLIP with a tokenizer, saved and opened as a user's."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from export.export import export
from export.verify import verify
from petseg.measure import report_file
from tests.support.tiny_clip import SIZES
from train import oracle
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config
from train.loops.clip import ClipTrainer, species_of
from train.models import build
from train.models.clip import Clip, ClipConfig
from train.models.clip_decoders import ChannelAttention
from train.models.clip_encoders import VisionTransformer
from train.models.clip_towers import ResNetEncoder
from train.models.contrastive import ContrastiveConfig
from train.report.inference import Model

MakeConfig = Callable[..., Config]

DECODERS = {
    "film": {"decoder": "film", "widths": [16, 12, 8, 8]},
    "attention": {"decoder": "attention", "widths": [16, 8, 8]},
    "transformer": {"decoder": "transformer", "widths": [16], "photo_embedding": True},
    "projected": {"decoder": "attention", "widths": [16], "dropout": 0.25, "projected": True},
    "plain": {"decoder": "plain", "widths": [24, 16, 8, 8]},
    "transposed": {"decoder": "transposed", "widths": [16, 12, 8], "enlargement": 2, "aligned": True},
}


@pytest.fixture
def options(tiny_clip: Path) -> Callable[..., ClipConfig]:
    def make(decoder: str = "film", **changes: object) -> ClipConfig:
        table = {"encoder": str(tiny_clip), "layers": [0, 1, 2, 3]} | DECODERS[decoder] | changes
        return ClipConfig.model_validate(table)

    return make


MakeOptions = Callable[..., ClipConfig]


def photos(batch: int = 2, side: int = 32) -> Tensor:
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("side", [32, 56])
def test_logits_and_gradients(options: MakeOptions, decoder: str, side: int) -> None:
    """The position embeddings are for 4 x 4 patches: 7 x 7 are interpolated."""
    model = build(options(decoder)).train()
    logits = model(photos(side=side))
    assert (logits.shape, logits.dtype) == ((2, 3, side, side), torch.float32)
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        frozen = name.startswith("encoder.")
        assert parameter.requires_grad != frozen, name
        assert (parameter.grad is None) == frozen, name
    assert any(not name.startswith("encoder.") for name, _ in model.named_parameters())


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_encoder_stays_in_eval_mode(options: MakeOptions, decoder: str) -> None:
    model = build(options(decoder))
    for mode in (True, False, True):
        model.train(mode)
        assert not any(module.training for module in model.encoder.modules())
        assert model.decoder.training == mode


def test_a_size_that_is_no_multiple_of_the_patch(options: MakeOptions) -> None:
    with pytest.raises(ValueError, match=r"36 x 36 .* stride 8; the nearest size that does is 32 x 32"):
        build(options())(photos(side=36))


def test_features_are_those_of_the_chosen_layers(options: MakeOptions, tiny_clip: Path) -> None:
    model = build(options(layers=[1, 3], widths=[16, 8], blocks=[1, 1], kernels=[3, 3]))
    image = photos()
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    pixels = (image / 255 - mean) / std
    clip = CLIPModel.from_pretrained(tiny_clip).eval()
    states = clip.vision_model(pixels, output_hidden_states=True).hidden_states
    maps = model.encoder(image)
    for features, layer in zip(maps, (3, 1), strict=True):
        assert features.shape == (2, 32, 4, 4)
        expected = states[layer + 1][:, 1:].reshape(2, 4, 4, 32).permute(0, 3, 1, 2)
        assert torch.allclose(features, expected, atol=1e-4)
    # The last layer that is used differs from the first: none is taken twice.
    assert not torch.allclose(maps[0], maps[1])


def test_each_class_is_a_text(options: MakeOptions, tiny_clip: Path) -> None:
    config = options(templates=["a {}", "one {}."], names=[["wall", "lawn"], ["cat"], ["dog"]])
    assert config.prompts == [
        ["a wall", "one wall.", "a lawn", "one lawn."],
        ["a cat", "one cat."],
        ["a dog", "one dog."],
    ]
    model = build(config)
    clip, tokenizer = CLIPModel.from_pretrained(tiny_clip).eval(), CLIPTokenizer.from_pretrained(tiny_clip)
    with torch.no_grad():
        for found, texts in zip(model.texts, config.prompts, strict=True):
            each = [
                clip.get_text_features(**tokenizer(t, return_tensors="pt")).pooler_output[0] for t in texts
            ]
            mean = torch.stack([F.normalize(vector, dim=0) for vector in each]).mean(0)
            assert torch.allclose(found, F.normalize(mean, dim=0), atol=1e-4)
    assert model.texts.shape == (3, 20)
    assert not torch.allclose(model.texts[1], model.texts[2], atol=1e-3)


@pytest.mark.parametrize("decoder", ["film", "attention"])
def test_a_class_is_scored_by_its_own_text(options: MakeOptions, decoder: str) -> None:
    model = build(options(decoder)).eval()
    image = photos()
    before = model(image)
    model.texts[2] = -model.texts[2]
    after = model(image)
    assert torch.allclose(after[:, :2], before[:, :2], atol=1e-5)
    assert not torch.allclose(after[:, 2], before[:, 2], atol=1e-3)


def test_a_decoder_without_text_has_none(options: MakeOptions) -> None:
    assert "texts" not in dict(build(options("plain")).named_buffers())


def test_masks_of_another_size(options: MakeOptions) -> None:
    model = build(options(mask_size=24)).eval()
    image = photos()
    coarse = F.interpolate(model.decoder(model.encoder(image), model.texts[None]), size=24, mode="bilinear")
    assert torch.allclose(model(image), F.interpolate(coarse, size=32, mode="bilinear"), atol=1e-5)


def test_items_of_a_batch_do_not_mix(options: MakeOptions) -> None:
    for decoder in DECODERS:
        model = build(options(decoder)).eval()
        image = photos(3)
        together = model(image)
        for index in range(3):
            assert torch.allclose(model(image[index : index + 1])[0], together[index], atol=1e-4), decoder


def test_channel_attention_weighs_channels() -> None:
    attention = ChannelAttention(8)
    nn.init.zeros_(attention.weigh[3].weight)
    nn.init.zeros_(attention.weigh[3].bias)
    features = torch.randn(2, 8, 4, 4)
    assert torch.allclose(attention(features), features / 2)


@pytest.mark.usefixtures("without_plots")
def test_a_few_steps_teach_the_decoder_alone(
    options: MakeOptions, make_config: MakeConfig, tiny_clip: Path, tmp_path: Path
) -> None:
    here = tmp_path / "clip"
    shutil.copytree(tiny_clip, here)
    config = make_config(optim={"epochs": 4, "learning_rate": 1e-2})
    config = config.model_copy(update={"model": options(encoder=str(here))})
    trainer = ClipTrainer(config)
    own = trainer.accelerator.unwrap_model(trainer.model)
    before = {name: tensor.clone() for name, tensor in own.encoder.state_dict().items()}
    decoder = own.decoder.head.weight.clone()
    history = trainer.fit()
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert all(torch.equal(before[name], tensor) for name, tensor in own.encoder.state_dict().items())
    assert not torch.equal(own.decoder.head.weight, decoder)

    shutil.rmtree(here)  # neither tower nor tokenizer is needed any more
    model, kept = load_checkpoint(config.folder / "best")
    assert kept.model.architecture == VisionTransformer(
        **SIZES, image_size=32, patch_size=8, projection_dim=20
    )
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(before[name], tensor), name
    assert torch.equal(model.texts, own.texts)
    assert model(photos()).isfinite().all()


@pytest.fixture
def checkpoint(options: MakeOptions, tmp_path: Path) -> Callable[..., Path]:
    def save(decoder: str, **changes: object) -> Path:
        model_config = options(decoder, **changes).resolved()
        sources = [{"path": "oxford-iiit-pet", "layout": "oxford"}]
        config = Config(name="tiny-clip", data={"sources": sources, "size": 48}, model=model_config)
        torch.manual_seed(0)
        model = build(config.model)
        with torch.no_grad():  # batch normalisation has seen something, and all classes are answered with
            model.train()(photos(8, 48))
        save_checkpoint(tmp_path / decoder, model, config)
        return tmp_path / decoder

    return save


@pytest.mark.parametrize(
    "decoder", ["film", *(pytest.param(each, marks=pytest.mark.slow) for each in DECODERS if each != "film")]
)
def test_export_agrees(
    checkpoint: Callable[..., Path], tmp_path: Path, decoder: str, tiny_clip: Path
) -> None:
    folder = checkpoint(decoder)
    exported = export(folder, half=False)  # rounding would decide pixels where a random model is undecided
    path = tmp_path / "clip.onnx"
    exported.write(path)
    generator = np.random.default_rng(0)
    squares = [generator.integers(0, 256, (40, 32 + i, 3), np.uint8) for i in range(16)]
    report = verify(folder, path, squares, tolerance=0.01, batch_sizes=(1, 5, 16))
    assert report.agreement > 0.999
    document = exported.document
    assert (document["name"], document["size"], document["prompts"]) == ("tiny-clip", 48, [])
    assert document["parameters"] == sum(
        p.numel() for p in build(load_checkpoint(folder)[1].model).parameters()
    )
    assert f"frozen encoder {tiny_clip.parent.name}/{tiny_clip.name}" in document["training_data"]


ORACLE = {"oracle_text": True}


def test_no_label_gets_in_without_oracle(options: MakeOptions) -> None:
    with pytest.raises(ValueError, match="takes no label"):
        build(options())(photos(), torch.tensor([1, 2]))


@pytest.mark.parametrize("decoder", ["film", "attention"])
def test_oracle_is_told_the_species(options: MakeOptions, decoder: str) -> None:
    model = build(options(decoder, **ORACLE)).eval()
    image = photos()
    cat, dog = (model(image, torch.tensor([species] * 2)) for species in (1, 2))
    assert cat.shape == (2, 3, 32, 32)
    assert not torch.allclose(cat, dog, atol=1e-3)
    both = model(image, torch.tensor([1, 2]))
    assert torch.allclose(both, torch.stack([cat[0], dog[1]]), atol=1e-4)
    with pytest.raises(ValueError, match=r"oracle_text.*python -m train\.oracle"):
        Model.of_network("clip", model, 32)(np.zeros((20, 30, 3), np.uint8))


def test_species_of_labels() -> None:
    labels = torch.zeros(4, 3, 3, dtype=torch.int64)
    labels[1, 0], labels[2, 1:], labels[2, 0], labels[3] = 1, 2, 1, 255
    assert species_of(labels).tolist() == [0, 1, 2, 0]


@pytest.mark.usefixtures("without_plots")
def test_oracle_figures_say_so(options: MakeOptions, make_config: MakeConfig, oxford_photos: Path) -> None:
    config = make_config(optim={"epochs": 1}).model_copy(update={"model": options(**ORACLE)})
    with pytest.raises(ValueError, match="must contain 'oracle'"):
        ClipTrainer(config)
    row = ClipTrainer(config.model_copy(update={"name": "clip-oracle"})).fit()[0]
    assert {"oracle_val_miou", "oracle_val_accuracy"} < set(row)
    assert not {"val_miou", "val_accuracy"} & set(row)
    path = config.folder / "oracle.json"
    oracle.main([str(config.folder / "best"), "--data", str(oxford_photos), "--json", str(path)])
    (report,) = report_file.read(path).values()
    assert 0 <= report["oracle_miou"] <= 1
    assert all(name.startswith("oracle_") for name in report)
    with pytest.raises(ValueError, match="oracle_text"):
        export(config.folder / "best")


@pytest.fixture
def oxford_photos(tmp_path: Path) -> Path:
    from tests.support.drawing import draw_labels, write_oxford

    masks = {f"{'pug' if index % 2 else 'Bengal'}_{index}": draw_labels(index) for index in range(4)}
    return write_oxford(tmp_path / "oxford-iiit-pet", masks, "test")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"templates": ["a photo"]}, "needs a {}"),
        ({"names": [["background"], [], ["dog"]]}, "every class a name"),
        ({"names": [["cat"], ["dog"]]}, "names"),
        ({"decoder": "plain", "oracle_text": True}, "reads no text"),
        ({"backend": "open_clip"}, 'a name such as "RN50"'),
        ({"backend": "dual"}, "options of the dual encoder"),
        ({"layers": []}, "layers"),
        ({"heads": 3}, "heads"),
    ],
)
def test_what_does_not_fit_is_named(options: MakeOptions, changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        options(**changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"layers": [2, 4]}, "some of 0 to 3"),
        ({"widths": [16, 8]}, "widths needs a number for each of 4 maps"),
        ({"kernels": [3]}, "kernels needs a number for each of 4 maps"),
    ],
)
def test_a_decoder_that_does_not_fit_the_encoder(
    options: MakeOptions, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        build(options(**changes))


def test_an_encoder_that_is_not_there(options: MakeOptions, tmp_path: Path) -> None:
    config = options(encoder=str(tmp_path / "nowhere"))
    for attempt in (config.resolved, lambda: build(config)):
        with pytest.raises(FileNotFoundError, match=r"nowhere.*give model\.encoder a folder"):
            attempt()


def test_a_checkpoint_without_a_dual_encoder(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config()
    save_checkpoint(tmp_path, build(config.model), config)
    dual = ClipConfig(backend="dual", encoder=str(tmp_path), architecture=ContrastiveConfig())
    with pytest.raises(FileNotFoundError, match="holds no dual encoder but a unet"):
        build(dual)


def test_open_clip_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    config = ClipConfig(backend="open_clip", architecture="RN50", encoder=None, decoder="plain", widths=[8])
    with pytest.raises(ModuleNotFoundError, match=r'pip install "petseg\[openclip\]"'):
        build(config)


def test_resnet_maps_are_those_of_its_stages() -> None:
    modified = pytest.importorskip("open_clip.modified_resnet")
    visual = modified.ModifiedResNet([1, 1, 1, 1], output_dim=16, heads=2, image_size=64, width=8)
    encoder = ResNetEncoder(visual, 16).eval()
    maps = encoder(photos(2, 96))
    assert encoder.channels == [256, 128, 64, 32]
    assert [tuple(features.shape[1:]) for features in maps] == [
        (256, 3, 3),
        (128, 6, 6),
        (64, 12, 12),
        (32, 24, 24),
    ]
    with pytest.raises(ValueError, match="stride 32"):
        encoder(photos(1, 80))


def test_weights_that_open_clip_cannot_have() -> None:
    pytest.importorskip("open_clip")
    config = ClipConfig(backend="open_clip", architecture="RN50", encoder="nowhere.pt", decoder="plain")
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.pt': give model\.encoder a file of them"):
        build(config)


@pytest.mark.slow
def test_rn50_through_open_clip(tmp_path: Path) -> None:
    """The way of a user whose weights are in a file."""
    open_clip = pytest.importorskip("open_clip")
    weights = tmp_path / "rn50.pt"
    torch.save(open_clip.create_model("RN50").state_dict(), weights)
    config = ClipConfig(
        backend="open_clip", architecture="RN50", encoder=str(weights), decoder="attention", widths=[32, 16]
    )
    model = build(config)
    assert isinstance(model, Clip)
    assert model.texts.shape == (3, 1024)
    assert model(photos(1, 64)).shape == (1, 3, 64, 64)
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


def test_a_folder_without_tokenizer_files_is_refused(
    options: MakeOptions, tiny_clip: Path, tmp_path: Path
) -> None:
    """transformers makes a tokenizer without words of it, to which all texts are the same."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_clip / name, folder)
    with pytest.raises((FileNotFoundError, ValueError), match="tokenizer"):
        build(options(encoder=str(folder)))
