"""Training a promptable model: what one sees, what stays frozen, and that it learns to tell twins apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from petseg.clicks.prompts import check, encode
from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import Letterbox
from tests.support.drawing import paint
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config
from train.loops.prompt import PromptTrainer, Tally
from train.models import build
from train.models.prompt import PromptNet
from train.models.prompt_unet import PromptUNetConfig
from train.people.conversation import NOBODY, Asked, Conversation
from train.people.targets import deepest

SIZE = 32
UNET = {"width": 4, "depth": 2, "upsampling": "bilinear"}
MODEL = {"family": "prompt", "unet": UNET, "widths": [16, 8], "blocks": [1, 1], "kernels": [5, 3]}


def twins(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes and instances, (32, 32) uint8: two cats of one colour, left and right."""
    generator = np.random.default_rng(index)
    instances = np.zeros((SIZE, SIZE), np.uint8)
    for number, left in ((1, 1), (2, 18)):
        top, height, width = generator.integers(2, 12), generator.integers(10, 18), generator.integers(9, 13)
        instances[top : top + height, left : left + width] = number
    return (instances > 0).astype(np.uint8), instances


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one folder `pets` of 12 photos with two twins each."""
    root = tmp_path_factory.mktemp("scenes")
    for name in ("images", "masks", "instances"):
        (root / "pets" / name).mkdir(parents=True)
    for index in range(12):
        classes, instances = twins(index)
        Image.fromarray(paint(classes, seed=index)).save(root / f"pets/images/twins_{index}.png")
        Image.fromarray(classes).save(root / f"pets/masks/twins_{index}.png")
        Image.fromarray(instances).save(root / f"pets/instances/twins_{index}.png")
    return root


@pytest.fixture
def prompt_config(make_config: Callable[..., Config], scenes: Path) -> Callable[..., Config]:
    """A tiny run of a `PromptNet` over the twins; arguments as for `make_config`."""

    def make(**tables: object) -> Config:
        model = {**MODEL, **tables.pop("model", {})}
        document = make_config().model_dump()
        document["data"] |= {"root": str(scenes)}
        document["model"] = model
        document["prompting"] |= {"photos": 8, "closeup": 0, "composite": 0}
        for key, value in tables.items():
            document[key] = {**document[key], **value} if isinstance(value, dict) else value
        return Config.model_validate(document)

    return make


def test_an_epoch_of_too_few_items(prompt_config: Callable[..., Config]) -> None:
    with pytest.raises(ValueError, match="an epoch of 3 items does not fill one batch of 4"):
        PromptTrainer(prompt_config(prompting={"photos": 3}, optim={"batch_size": 4}))


def test_a_run_writes_a_checkpoint_that_can_be_loaded(prompt_config: Callable[..., Config]) -> None:
    config = prompt_config(optim={"epochs": 1})
    row = PromptTrainer(config).fit()[-1]
    model, kept = load_checkpoint(config.folder / "best")
    assert isinstance(model, PromptNet)
    assert kept.model == config.model
    assert 0 <= row["val_miou"] <= 1
    ious = [row[f"val_{kind}_iou_{clicks}"] for kind in ("multi", "closeup") for clicks in (1, 3)]
    assert row["val_miou"] == pytest.approx(sum(ious) / 4)


@pytest.mark.parametrize("freeze", ["none", "encoder", "unet"])
def test_only_what_is_frozen_stays(
    prompt_config: Callable[..., Config], make_config: Callable[..., Config], tmp_path: Path, freeze: str
) -> None:
    start = make_config(model=UNET)
    save_checkpoint(tmp_path / "unet", build(start.model), start)
    config = prompt_config(
        model={"freeze": freeze, "unet_checkpoint": str(tmp_path / "unet")}, optim={"epochs": 1}
    )
    trainer = PromptTrainer(config)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.fit()
    after = trainer.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {"none": "nothing", "encoder": "unet.encoder.", "unet": "unet."}[freeze]
    assert not {name for name in changed if name.startswith(frozen)}
    assert any(name.startswith("levels.") for name in changed)
    assert any(name.startswith("unet.encoder.") for name in changed) == (freeze == "none")
    assert any(name.startswith("unet.decoder.") for name in changed) == (freeze != "unet")


def test_the_photo_stage_starts_from_the_checkpoint(
    prompt_config: Callable[..., Config], make_config: Callable[..., Config], tmp_path: Path
) -> None:
    start = make_config(model=UNET)
    unet = build(start.model)
    save_checkpoint(tmp_path / "unet", unet, start)
    trainer = PromptTrainer(prompt_config(model={"unet_checkpoint": str(tmp_path / "unet")}))
    for name, value in unet.state_dict().items():
        assert torch.equal(trainer.model.unet.state_dict()[name], value), name


def test_a_step_repeats_itself(prompt_config: Callable[..., Config]) -> None:
    trainer = PromptTrainer(prompt_config())
    batch = next(iter(trainer.train_loader))
    trainer.model.eval()
    assert torch.equal(trainer.step_loss(batch), trainer.step_loss(batch))
    assert len(batch[-1]) == 4


def test_tally_weighs_one_and_several_animals_the_same() -> None:
    """Four photos of one cat and one of two, whose answers find the one in half and the other not at all."""
    instances = torch.zeros(5, 4, 4, dtype=torch.uint8)
    instances[:, :2] = 1
    instances[4, 3] = 2
    number = torch.tensor([[1, NOBODY, NOBODY]] * 4 + [[1, 2, NOBODY]])
    signs = torch.full((5, 3, 1), NOBODY, dtype=torch.int8)
    species = torch.arange(256, dtype=torch.uint8).expand(5, 256)
    box = torch.full((5, 3, 4), torch.nan)
    talk = Conversation(
        instances, species, Asked(number, torch.zeros(5, 3, 1, 2), signs, box, torch.zeros(5, 3, 0))
    )
    logits = F.one_hot(talk.labels.where(talk.labels != BORDER, 0), 3).permute(0, 3, 1, 2).float()
    logits[12, :, 1] = torch.tensor([1.0, 0.0, 0.0])[:, None]
    logits[13] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    tally = Tally(torch.device("cpu"))
    whole = torch.zeros(5, dtype=torch.bool)
    tally.add(talk, logits, 1, torch.tensor(0.5), whole)
    row = tally.report(tally.sums)
    assert (row["val_single_iou_1"], row["val_multi_iou_1"]) == (1.0, 0.25)
    assert row["val_miou"] == 0.625
    assert row["val_species"] == 0.75
    assert row["val_loss"] == 0.5
    assert np.isnan(row["val_closeup_iou_1"])
    tally.add(talk, logits, 1, torch.tensor(0.5), ~whole)
    row = tally.report(tally.sums)
    assert (row["val_single_iou_1"], row["val_multi_iou_1"]) == (1.0, 0.25)
    assert row["val_closeup_iou_1"] == pytest.approx((4 * 1.0 + 0.5 + 0.0) / 6)


def test_the_photo_stage_is_kept_semantic(prompt_config: Callable[..., Config]) -> None:
    """Its weighted loss over all pets is added to that of the answers."""
    losses = []
    for weight in (0.0, 0.5):
        trainer = PromptTrainer(prompt_config(prompting={"semantic": weight}))
        batch = next(iter(trainer.train_loader))
        trainer.model.eval()
        losses.append(float(trainer.step_loss(batch).detach()))
    image, instances, species, asked, _ = batch
    talk = Conversation(instances, species, asked)
    with torch.no_grad():
        semantic = trainer.model(image, talk.prompt(), talk.correct, 1).semantic
    assert losses[1] - losses[0] == pytest.approx(0.5 * float(trainer.loss(semantic, talk.pets)), abs=1e-4)


def test_a_model_without_semantic_logits_has_no_such_loss(prompt_config: Callable[..., Config]) -> None:
    config = prompt_config(prompting={"semantic": 0.5})
    with pytest.raises(ValueError, match="a prompt_unet model has no semantic logits"):
        PromptTrainer(config.model_copy(update={"model": PromptUNetConfig(depth=2, width=4)}))


def test_clicking_one_twin_gives_that_twin(prompt_config: Callable[..., Config]) -> None:
    config = prompt_config(
        prompting={"photos": 32, "rounds": 2, "background": 0.1},
        optim={"epochs": 14, "learning_rate": 1e-2, "ema": 0.0, "batch_size": 8},
        loss={"name": "ce_item_dice"},
    )
    trainer = PromptTrainer(config)
    history = trainer.fit()
    assert history[-1]["val_multi_iou_1"] > 0.8
    model = trainer.averaged_model.eval()
    classes, instances = twins(0)
    image = torch.from_numpy(paint(classes, seed=0)).permute(2, 0, 1)[None]
    for number in (1, 2):
        inside = instances == number
        prompt = encode(check(SIZE, SIZE, point=deepest(inside)), Letterbox.fit(SIZE, SIZE, SIZE))
        answer = model(image, torch.from_numpy(prompt)[None])[0].argmax(0).numpy() > 0
        assert (answer & inside).sum() / (answer | inside).sum() > 0.8
