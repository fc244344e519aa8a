"""The typed home of every field of a training config (TOML)."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from petseg.pixels.decision import SURE
from train.losses import LossConfig
from train.models import ModelConfig
from train.sections import (
    AugmentConfig,
    CaptionConfig,
    CollageConfig,
    MultiplyConfig,
    Probability,
    ReconstructionConfig,
    Section,
    StudyConfig,
)

CONFIGS = Path(__file__).with_name("configs")
DEFAULT_CONFIG = CONFIGS / "unet.toml"
"""What is trained if nobody says what."""
OXFORD = "oxford-iiit-pet"
"""The folder that torchvision downloads the Oxford-IIIT Pet dataset into."""


def photos_root() -> str:
    """The folder of all photos: $PETSEG_DATA; else ../shared/data where that is; else data, here."""
    shared = "../shared/data"
    return os.environ.get("PETSEG_DATA") or (shared if Path(shared).is_dir() else "data")


def not_one_fold(folds: int) -> int:
    """The number of folds; raises ValueError where it is 1."""
    if folds == 1:
        raise ValueError("folds: one part alone leaves nothing to train on; give 2 or more, or 0")
    return folds


class SourceConfig(Section):
    """One folder of photos with masks.

    Attributes:
        path: the folder, relative to `data.root`; beginning with "./", from the working directory.
        layout: "oxford" (the official Oxford-IIIT Pet layout) or "folder" (images/ and masks/).
        split: list of names for the Oxford layout.
        masks: name of the mask folder in the "folder" layout, or of an annotation file in its place (COCO or
            Label Studio JSON, CVAT XML); beginning with "./", a path from the working directory instead.
        classes: what the masks of the "folder" layout hold, if not class numbers: grey values ("255"), or
            colours ("#ff8c00", those of palettes too) -> "background", "cat", "dog" or "ignored"; of an
            annotation file its labels, "*" being all others.
        repeat: how often each photo comes in an epoch, whatever it shows; each time it is augmented anew.
        crowds: how often each photo of several animals, that of an instances/NAME.png, comes besides.
        validation: share held out for validation, stratified by breed.
        optional: a folder that is not there is said aloud and left out, instead of being an error.
    """

    path: str
    layout: Literal["oxford", "folder"] = "folder"
    split: str = "trainval"
    masks: str = "masks"
    classes: dict[str, str] = Field(default_factory=dict)
    repeat: int = Field(default=1, ge=1)
    crowds: int = Field(default=0, ge=0)
    validation: float = Field(default=0.0, ge=0.0, lt=1.0)
    optional: bool = False

    def folder(self, root: Path) -> Path:
        """Where the source lies, from `data.root`."""
        return Path(self.path) if self.path.startswith("./") else root / self.path


class DataConfig(Section):
    """Where photos come from and how they are fed.

    Attributes:
        root: folder that the sources' paths start from; what `photos_root` says by default.
        sources: see `SourceConfig`.
        share: of each source's training and validation photos, so much of every breed is used, by seed, and
            of the photos of `reconstruction.photos` as much.
        balance: training photos of the rarer species come again until as many of an epoch show a cat as
            show a dog; `repeat` of the sources is counted first. Stage one of an autoencoder still takes each
            photo once, and contrastive training, whose photos need no masks, refuses it.
        download: let torchvision download the Oxford-IIIT Pet dataset (0.8 GB) into `root` when a source
            needs it and it is not there.
        size: side of the model's square, in pixels.
        labels: "species" (background, cat, dog; borders are ignored) or "trimap" (background, pet, border),
            for comparison with a study only: petseg's models tell species.
        border: what the rim between an animal and the background counts as, where `labels` are species: it is
            "ignored", or it is "background", as published studies train.
        fit: a photo's way into the square: "letterbox", as petseg's, or "stretch", which gives up its aspect
            ratio, for comparison with a study only.
        padding: "grey", as petseg pads, "black", or "mean", the photo's mean colour.
        outside: what that, and all that augmentation brings in beside a photo, counts as: it is "ignored", or
            it is "background", as published studies train.
        folds: hold out one of so many equal parts of every breed instead of the sources' `validation`; 0
            does not. For `python -m train.search`, which trains on each in turn.
        fold: which of them, from 0.
        cache_side: photos are kept in memory with their longer side reduced to this; 0 reads them from
            disk each time.
        workers: processes that augment.
        seed: of the validation split, apart from the training seed so that runs stay comparable.
    """

    sources: list[SourceConfig]
    root: str = Field(default_factory=photos_root)
    share: float = Field(default=1.0, gt=0.0, le=1.0)
    balance: bool = False
    download: bool = True
    size: int = Field(default=256, ge=16)
    labels: Literal["species", "trimap"] = "species"
    border: Literal["ignored", "background"] = "ignored"
    fit: Literal["letterbox", "stretch"] = "letterbox"
    padding: Literal["grey", "black", "mean"] = "grey"
    outside: Literal["ignored", "background"] = "ignored"
    folds: Annotated[int, Field(ge=0), AfterValidator(not_one_fold)] = 0
    fold: int = Field(default=0, ge=0)
    cache_side: int = Field(default=360, ge=0)
    workers: int = Field(default=2, ge=0)
    seed: int = 0

    @property
    def fitting(self) -> dict[str, str]:
        """Options of `train.data.augment.fitting`."""
        return {"padding": self.padding, "fit": self.fit, "outside": self.outside}


class OptimConfig(Section):
    """The optimiser and its schedule.

    Attributes:
        learning_rate: of AdamW, which is Adam where nothing decays: the peak of its schedule.
        schedule: what comes after `warmup_epochs`: "cosine" down to 0, or "constant".
        encoder_scale: factor on the learning rate of the encoder.
        batch_size: photos of one process and one forward pass.
        accumulate: forward passes for one step.
        ema: decay of the exponential moving average of the weights; 0 turns it off.
        patience: epochs without the figure of `patience_by` getting better by `min_delta` before stopping; 0
            never stops.
        patience_by: "score" (validation mIoU; of reconstruction, the signal-to-noise ratio), or "loss", that
            of validation. The best epoch goes by the score either way.
        max_norm: gradients are clipped to this norm; 0 leaves them as they are.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    encoder_scale: float = Field(default=1.0, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_epochs: float = Field(default=0.5, ge=0)
    ema: float = Field(default=0.998, ge=0, lt=1)
    patience: int = Field(default=0, ge=0)
    patience_by: Literal["score", "loss"] = "score"
    min_delta: float = Field(default=0.0, ge=0)
    max_norm: float = Field(default=5.0, ge=0)
    mixed_precision: Literal["no", "fp16", "bf16"] = "bf16"


class PromptingConfig(Section):
    """How photos, animals and clicks are drawn for a promptable model.

    Attributes:
        photos: items of an epoch.
        multi: share of them that show several animals with a mask each.
        multi_cache_side: like `data.cache_side`, for those photos, whose animals are small.
        composite: probability that one more animal is pasted into a photo, and after it another, up to four.
        closeup: probability that a photo of several animals is cut to the surroundings of one; a photo of one
            is half as often.
        background: share of prompts that point at the background; with `by_area`, the weight of one of its
            pixels beside one of an animal, so that large animals are pointed at more often.
        first: how people start: "mixed" (a click anywhere, a click deep inside, several, a box), as petseg's
            training; or as a study has it: a click "anywhere" on the animal, or at its "barycentre", where
            animals around theirs are no training photos.
        box: with "anywhere", the probability of a box around the animal instead.
        prompts_per_photo: prompts that share a photo's features in a step.
        rounds: predictions for each prompt; later rounds add clicks where the one before was wrong.
        semantic: weight of the loss of the photo's own logits, which should call all its animals pets: what
            keeps them semantic while the photo stage learns to tell animals apart. 0 without that loss.
        presence: name of the embedded model that says in use whether there is a pet where this one finds
            what was clicked on; empty: nobody is asked. It changes nothing in training.
    """

    photos: int = Field(default=4000, ge=1)
    multi: Probability = 0.5
    multi_cache_side: int = Field(default=640, ge=0)
    composite: Probability = 0.4
    closeup: Probability = 0.5
    background: Probability = 0.15
    by_area: bool = False
    first: Literal["mixed", "anywhere", "barycentre"] = "mixed"
    box: Probability = 0.0
    prompts_per_photo: int = Field(default=3, ge=1)
    rounds: int = Field(default=2, ge=1)
    semantic: float = Field(default=0.0, ge=0)
    presence: str = ""


class Config(Section):
    """A whole training run.

    Attributes:
        name: of the model that comes out.
        output: folder of the run; state, best checkpoint and history go there.
        start: checkpoint folder to fine-tune from; None for the model's own start.
        seed: of initialisation, order and augmentation.
        doubt: whether what the model is little sure of is no pet, in use (`petseg.models.manifest.Manifest`).
        sure: how probable a pet must be for a pixel to tell that there is one, in use (the same).
        study: of a study's model: what the study says about it.
    """

    name: str
    data: DataConfig
    model: ModelConfig
    output: str = ""
    start: str | None = None
    seed: int = 0
    augment: AugmentConfig = AugmentConfig()
    collage: CollageConfig = CollageConfig()
    multiply: MultiplyConfig = MultiplyConfig()
    optim: OptimConfig = OptimConfig()
    loss: LossConfig = LossConfig()
    prompting: PromptingConfig = PromptingConfig()
    reconstruction: ReconstructionConfig = ReconstructionConfig()
    captions: CaptionConfig = CaptionConfig()
    doubt: bool = True
    sure: Annotated[float, Field(ge=0.5, lt=1)] = SURE
    study: StudyConfig | None = None

    @property
    def folder(self) -> Path:
        """Where the run writes: `output`, or runs/NAME."""
        return Path(self.output or f"runs/{self.name}")

    @property
    def copies_folder(self) -> Path:
        """Where `train.multiply` writes: `multiply.output`, or runs/NAME-copies."""
        return Path(self.multiply.output or f"runs/{self.name}-copies")


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file.

    Raises:
        FileNotFoundError: there is none; the message says which there are.
        ValueError: it is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no config {str(path)!r}; {_neighbours(Path(path))}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config {str(path)!r} is no TOML: {error}") from error


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a TOML config.

    Args:
        path: the file.
        overrides: "section.key=value" strings, the value in TOML syntax (bare words are strings).

    Raises:
        FileNotFoundError, ValueError: as `read_toml`; or an override has no "=", or goes into no table.
        pydantic.ValidationError: a key is unknown or a value does not fit.
    """
    values = {}
    for override in overrides or []:
        key, separator, text = override.partition("=")
        if not separator:
            raise ValueError(f"override {override!r} must look like optim.epochs=10")
        values[key] = _toml_value(text)
    return config_with(path, values)


def config_with(path: str | Path, values: Mapping[str, Any]) -> Config:
    """Read a TOML config with other values.

    Args:
        path: the file.
        values: key such as "optim.epochs" or "data.sources.0.repeat" -> value; raises as `load_config`.
    """
    document = read_toml(path)
    for key, value in values.items():
        *parents, last = key.split(".")
        table: Any = document
        for parent in parents:
            if isinstance(table, list):
                if not (parent.isdecimal() and int(parent) < len(table)):
                    raise ValueError(f"override {key!r}: there is no {parent} among {len(table)}")
                table = table[int(parent)]
            else:
                table = table.setdefault(parent, {})
            if not isinstance(table, dict | list):
                raise ValueError(f"override {key!r}: {parent} is no table")
        if isinstance(table, list):
            where = ".".join(parents)
            raise ValueError(f"override {key!r}: {where} is no table but a list; name one: {where}.0.{last}")
        table[last] = value
    return Config.model_validate(document)


def purpose_of(path: Path) -> str:
    """What a config is for: the comment that it begins with, up to a command or an empty line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.removeprefix("#").strip()
        if not line.startswith("#") or not words or words.startswith(("accelerate", "python")):
            break
        lines.append(words)
    return " ".join(lines)


def list_configs() -> str:
    """The configs of the repository, one a line, with the first sentence of what each is for."""
    paths = sorted(CONFIGS.glob("*.toml"))
    width = max(len(path.name) for path in paths)
    lines = [f"  {path.name:<{width}}  {purpose_of(path).partition('. ')[0].rstrip('.')}" for path in paths]
    return "\n".join(
        [f"configs in {CONFIGS}:", *lines, "  studies/  searches/  see docs/studies.md, docs/train.md"]
    )


def _neighbours(path: Path) -> str:
    """Which configs there are where one was looked for, or else in the repository."""
    folder = path.parent if any(path.parent.glob("*.toml")) else CONFIGS
    return f"in {folder} are {', '.join(sorted(found.name for found in folder.glob('*.toml')))}"


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
