"""The dual encoder, its captions and its training, and `clip-mini` on top of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from petseg.errors import ImageError
from tests.support.drawing import Labels, draw_labels, write_oxford, write_plain
from train import zeroshot
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config, DataConfig, SourceConfig
from train.data.captions import (
    ANY,
    CaptionDataset,
    CaptionedPhoto,
    Captioner,
    background_square,
    fitting,
    read_captioned,
    read_captioned_splits,
)
from train.loops.clip import ClipTrainer
from train.loops.contrastive import ContrastiveTrainer
from train.models import build
from train.models.clip import ClipConfig
from train.models.contrastive import END, PAD, UNKNOWN, ContrastiveConfig, DualEncoder, contrastive_loss
from train.sections import AugmentConfig, CaptionConfig

MakeConfig = Callable[..., Config]

TINY = {"family": "contrastive", "embedding": 16, "width": 16, "layers": 1, "heads": 2, "length": 8}
BREEDS = ("Bengal", "pug", "Maine_Coon", "great_pyrenees")
QUIET = AugmentConfig(**dict.fromkeys(AugmentConfig.model_fields.keys() - {"kinds", "strengths"}, 0))


def masks(count: int = 16) -> dict[str, Labels]:
    """Names of cats and dogs by turns, as the drawn labels are."""
    return {f"{BREEDS[i % 4]}_{i}": draw_labels(i, 64, 64) for i in range(count)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An oxford-iiit-pet folder with masks, and a folder `more` where two photos have none."""
    write_oxford(tmp_path / "oxford-iiit-pet", masks())
    write_oxford(tmp_path / "oxford-iiit-pet", masks(8), "test")
    write_plain(tmp_path / "more", masks(4))
    for name in ("Bengal_0", "pug_1"):
        (tmp_path / f"more/masks/{name}.png").unlink()
    return tmp_path


@pytest.fixture
def make(root: Path, make_config: MakeConfig) -> MakeConfig:
    def make(**tables: object) -> Config:
        data = {
            "root": str(root),
            "sources": [
                {"path": "oxford-iiit-pet", "layout": "oxford", "validation": 0.25},
                {"path": "more"},
            ],
            "size": 64,
            "cache_side": 64,
        }
        model = tables.pop("model", TINY)
        config = make_config(**{"data": data, **tables}).model_dump()
        return Config.model_validate(config | {"model": model})

    return make


def captioner(root: Path, **options: object) -> tuple[list[CaptionedPhoto], Captioner]:
    photos = read_captioned(SourceConfig(path="oxford-iiit-pet", layout="oxford"), root)
    return photos, Captioner(photos, CaptionConfig(**options))


def test_photos_are_read_with_and_without_masks(root: Path) -> None:
    photos = read_captioned(SourceConfig(path="more"), root)
    assert [photo.name for photo in photos] == ["Bengal_0", "Maine_Coon_2", "great_pyrenees_3", "pug_1"]
    assert [photo.breed_name for photo in photos] == ["bengal", "maine coon", "great pyrenees", "pug"]
    assert [photo.species for photo in photos] == [1, 1, 2, 2]
    assert (photos[0].read_mask() == 255).all()
    assert set(np.unique(photos[1].read_mask())) == {0, 1}


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_a_source_without_photos(root: Path, path: str) -> None:
    (root / "empty/images").mkdir(parents=True)
    with pytest.raises(ImageError, match="holds no photos"):
        read_captioned(SourceConfig(path=path), root)


def test_captions_are_true_and_their_words_known(root: Path) -> None:
    photos, words = captioner(root)
    assert words.species_of == {"bengal": 1, "great pyrenees": 2, "maine coon": 1, "pug": 2}
    assert "a photo of a maine coon, a breed of cat" in words.breed_captions("maine coon")
    assert words.class_captions(2) == [t.format(species="dog") for t in CaptionConfig().species]
    assert {"bengal", "coon", "cat", "dog", "background"} < set(words.vocabulary())
    for photo in photos:
        for _ in range(8):
            text, said = words.draw(words.facts(photo))
            assert said[0] == photo.species
            assert (photo.breed_name in text) == (said[1] != ANY)
            assert photo.breed_name in text or text in words.class_captions(photo.species)
    text, said = words.draw(words.facts(None))
    assert (text in CaptionConfig().nothing, said.tolist()) == (True, [0, ANY])


def test_which_captions_fit_which_photos() -> None:
    photos = torch.tensor([[1, 0], [1, 0], [1, 3], [2, 1], [0, ANY]])
    captions = torch.tensor([[1, 0], [1, ANY], [2, 1], [0, ANY], [2, ANY]])
    assert fitting(photos, captions).int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 1],
        [0, 0, 0, 1, 0],
    ]


def test_loss_with_one_right_caption_is_clips() -> None:
    similarities = torch.randn(5, 5)
    found = contrastive_loss(similarities, torch.eye(5, dtype=torch.bool))
    assert found.item() == pytest.approx(image_text_contrastive_loss(similarities).item(), rel=1e-5)


def test_loss_by_hand() -> None:
    """Photos 0 and 1 fit caption 0, photo 2 fits nothing, caption 1 fits nothing."""
    similarities = torch.tensor([[2.0, 0.0], [0.0, 0.0], [1.0, 3.0]])
    fits = torch.tensor([[True, False], [True, False], [False, False]])
    e = np.exp
    by_photo = -(np.log(e(2) / (e(2) + 1)) + np.log(0.5)) / 2
    column = e(2) + 1 + e(1)
    by_caption = -(np.log(e(2) / column) + np.log(1 / column)) / 2
    assert contrastive_loss(similarities, fits).item() == pytest.approx((by_photo + by_caption) / 2, rel=1e-5)


def test_loss_does_not_part_what_is_the_same() -> None:
    """Two photos of one breed with the same caption: pushing them apart would only cost."""
    fits = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    similarities = torch.where(fits, 20.0, 0.0).requires_grad_()
    contrastive_loss(similarities, fits).backward()
    assert similarities.grad is not None
    assert similarities.grad.abs().max() < 1e-6


def test_background_squares_hold_no_pet() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :30], mask[:, 30:33] = 1, 255
    for _ in range(50):
        square = background_square(mask)
        assert square is not None
        rows, columns = square
        assert columns.start >= 33
        assert rows.stop - rows.start == columns.stop - columns.start >= 10
    assert background_square(np.ones((40, 60), np.uint8)) is None


def test_background_items_say_so(root: Path) -> None:
    photos, words = captioner(root, background_share=1.0)
    dataset = CaptionDataset(photos, 32, words, augment=QUIET)
    items = [dataset[index] for index in range(len(photos))]
    cut = [item for item in items if item[1].tolist() == [0, ANY]]
    assert len(cut) > len(photos) // 2
    for image, facts, said, caption, _ in cut:
        assert (image.shape, image.dtype) == ((3, 32, 32), torch.uint8)
        assert image.float().mean() == pytest.approx(60, abs=5)  # the drawn ground is grey
        assert torch.equal(facts, said)
        assert caption in CaptionConfig().nothing
    again = dataset[0]
    assert torch.equal(again[0], items[0][0])
    assert again[3] == items[0][3]
    held_out = CaptionDataset(photos, 32, words)
    assert all(held_out[index][1][0] > 0 for index in range(len(photos)))


def test_tokens() -> None:
    model = build(ContrastiveConfig.model_validate(TINY | {"vocabulary": ["a", "cat"]}))
    assert isinstance(model, DualEncoder)
    assert model.tokenize(["A cat!", "a zebra", "", "a " * 20]).tolist() == [
        [4, 5, END, *[PAD] * 5],
        [4, UNKNOWN, END, *[PAD] * 5],
        [END, *[PAD] * 7],
        [*[4] * 7, END],
    ]


def test_similarities_are_scaled_cosines() -> None:
    model = build(ContrastiveConfig.model_validate(TINY | {"vocabulary": ["a", "cat", "dog"]})).eval()
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    tokens = model.tokenize(["a cat", "a dog", "cat"])
    photos, captions = model.embed_image(image), model.embed_text(tokens)
    assert torch.allclose(photos.norm(dim=1), torch.ones(2))
    assert torch.allclose(model(image, tokens), photos @ captions.T / 0.07, atol=1e-4)
    assert not torch.allclose(captions[0], captions[1])
    with torch.no_grad():
        model.logit_scale.fill_(50)
    assert model(image, tokens).abs().max() <= 100.001
    both = model.embed_classes([["a cat", "cat"], ["a dog"]])
    mean = torch.stack([captions[0], captions[2]]).mean(0)
    assert torch.allclose(both[0], mean / mean.norm(), atol=1e-6)


def test_learns_which_caption_belongs_to_which_photo() -> None:
    """Red photos are cats, blue ones dogs, and several captions are true of each."""
    model = build(ContrastiveConfig.model_validate(TINY | {"vocabulary": ["a", "cat", "dog", "red", "blue"]}))
    assert isinstance(model, DualEncoder)
    image = torch.randint(0, 60, (8, 3, 64, 64), dtype=torch.uint8)
    image[:4, 0] += 180
    image[4:, 2] += 180
    facts = torch.tensor([[1, 0]] * 4 + [[2, 1]] * 4)
    tokens = model.tokenize(
        ["a cat", "red cat", "cat", "a red cat", "a dog", "blue dog", "dog", "a blue dog"]
    )
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        contrastive_loss(model(image, tokens), fitting(facts, facts)).backward()
        optimizer.step()
    assert (model(image, tokens).argmax(1) < 4).tolist() == [True] * 4 + [False] * 4


def pretrain(make: MakeConfig, tmp_path: Path, epochs: int = 6) -> tuple[Path, list[dict[str, float]]]:
    config = make(
        name="pretrained",
        output=str(tmp_path / "pretrained"),
        optim={"epochs": epochs, "batch_size": 8, "learning_rate": 3e-3, "ema": 0.0},
        captions={"species_share": 0.5, "background_share": 0.3},
    )
    return config.folder / "best", ContrastiveTrainer(config).fit()


@pytest.mark.usefixtures("without_plots")
def test_from_captions_to_masks(
    make: MakeConfig,
    root: Path,
    tmp_path: Path,
    new_process: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole road: pre-training, zero-shot figures, a decoder on the frozen encoder, its checkpoint."""
    folder, history = pretrain(make, tmp_path)
    assert history[-1]["loss"] < history[0]["loss"]
    model, config = load_checkpoint(folder)
    assert isinstance(model, DualEncoder)
    assert {"bengal", "background"} < set(config.model.vocabulary)

    zeroshot.main(
        [str(folder), "--data", str(root / "oxford-iiit-pet"), "--json", str(tmp_path / "figures.json")]
    )
    report = json.loads((tmp_path / "figures.json").read_text())
    assert (report["photos"], set(report["by_breed"])) == (
        8,
        {"bengal", "pug", "maine coon", "great pyrenees"},
    )
    assert report["breed_accuracy"] <= report["breed_top5_accuracy"] == 1
    assert "species_accuracy" in capsys.readouterr().out

    new_process()
    config = make(
        name="mini",
        output=str(tmp_path / "mini"),
        data={
            "root": str(root),
            "sources": [{"path": "oxford-iiit-pet", "layout": "oxford", "validation": 0.25}],
            "size": 64,
        },
        model={
            "family": "clip",
            "backend": "dual",
            "encoder": str(folder),
            "architecture": {"family": "contrastive"},
            "templates": ["a photo of a {}", "a {}"],
            "names": [["background"], ["cat"], ["dog"]],
            "widths": [16, 16, 16, 16],
        },
        optim={"epochs": 4, "learning_rate": 1e-2},
    )
    trainer = ClipTrainer(config)
    own = trainer.accelerator.unwrap_model(trainer.model)
    before = {name: tensor.clone() for name, tensor in own.encoder.state_dict().items()}
    rows = trainer.fit()
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert all(torch.equal(before[name], tensor) for name, tensor in own.encoder.state_dict().items())
    assert torch.equal(before["mobilenet.features.0.0.weight"], model.encoder.features[0][0].weight)
    expected = model.embed_classes([["a photo of a dog", "a dog"]])[0]
    assert torch.allclose(own.texts[2], expected, atol=1e-6)

    shutil.rmtree(folder)
    alone, kept = load_checkpoint(tmp_path / "mini/best")
    assert kept.model.architecture.vocabulary == model_vocabulary(model)
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.isfinite(alone(image)).all()
    assert torch.equal(alone.texts, own.texts)


def model_vocabulary(model: DualEncoder) -> list[str]:
    return list(model.numbers)


@pytest.mark.usefixtures("without_plots")
def test_pretraining_resumes_where_it_stopped(make: MakeConfig, new_process: Callable[[], None]) -> None:
    def weights(output: str, stops: bool) -> dict[str, Tensor]:
        new_process()
        config = make(output=output, optim={"epochs": 2, "batch_size": 8})
        trainer = ContrastiveTrainer(config)
        if stops:
            trainer._train_epoch_full = trainer._train_epoch  # type: ignore[attr-defined]

            def train_epoch(epoch: int) -> float:
                if epoch == 1:
                    raise KeyboardInterrupt
                return trainer._train_epoch_full(epoch)  # type: ignore[attr-defined]

            trainer._train_epoch = train_epoch  # type: ignore[method-assign]
            with pytest.raises(KeyboardInterrupt):
                trainer.fit()
            new_process()
            trainer = ContrastiveTrainer(config)
            trainer.fit(resume=True)
        else:
            trainer.fit()
        return {k: v.clone() for k, v in trainer.accelerator.unwrap_model(trainer.model).state_dict().items()}

    folder = make().output
    whole, resumed = weights(f"{folder}-whole", False), weights(f"{folder}-stopped", True)
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_run_without_validation_is_refused(make: MakeConfig, root: Path) -> None:
    with pytest.raises(ValueError, match="set `validation`"):
        ContrastiveTrainer(make(data={"root": str(root), "sources": [{"path": "more"}], "size": 64}))


def test_the_split_is_that_of_segmentation(root: Path) -> None:
    """What pre-training holds out, the decoder holds out too."""
    from train.data.dataset import read_splits

    config = DataConfig(
        root=str(root), sources=[SourceConfig(path="oxford-iiit-pet", layout="oxford", validation=0.25)]
    )
    captioned, plain = read_captioned_splits(config), read_splits(config)
    for one, other in zip(captioned, plain, strict=True):
        assert [sample.name for sample in one] == [sample.name for sample in other]


MINI = {"family": "clip", "backend": "dual", "encoder": None, "architecture": TINY, "widths": [8, 8, 8, 8]}


@pytest.mark.usefixtures("without_plots")
def test_captions_learned_on_the_frozen_photo_encoder_of_a_clip(make: MakeConfig, tmp_path: Path) -> None:
    mini = make(name="mini", model=MINI)
    save_checkpoint(tmp_path / "mini", build(mini.model), mini)
    given = load_checkpoint(tmp_path / "mini")[0].encoder.mobilenet.state_dict()
    config = make(
        model=TINY | {"photo_encoder": str(tmp_path / "mini")},
        optim={"epochs": 1, "batch_size": 8, "ema": 0.0},
    )
    trainer = ContrastiveTrainer(config)
    before = trainer.model.text.state_dict()["text_model.embeddings.token_embedding.weight"].clone()
    trainer.fit()
    model, stored = load_checkpoint(config.folder / "best")
    assert all(torch.equal(given[name], tensor) for name, tensor in model.encoder.state_dict().items())
    assert not torch.equal(before, model.text.text_model.embeddings.token_embedding.weight)
    assert "frozen encoder" in stored.model.origin


def test_a_decoder_of_equal_maps_takes_one_of_a_dual_encoder() -> None:
    config = ClipConfig.model_validate(MINI | {"decoder": "transformer", "widths": [16], "maps": [0]})
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    model = build(config).eval()
    assert len(model.encoder(image)) == 1
    assert model(image).shape == (1, 3, 64, 64)
    with pytest.raises(ValueError, match="maps are a dual encoder's"):
        ClipConfig.model_validate({"maps": [0]})


def test_a_size_that_is_no_multiple_of_the_stride_is_refused_before_training(make: MakeConfig) -> None:
    config = make(name="mini", model=MINI)
    config = config.model_copy(update={"data": config.data.model_copy(update={"size": 72})})
    with pytest.raises(ValueError, match=r"photo of 72 x 72 does not fit a model of stride 32; .* 64 x 64"):
        ClipTrainer(config)
