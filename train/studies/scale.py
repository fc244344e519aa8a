"""At which scale the published studies are re-run: a TOML file of `train/configs/scales/`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from train.config import CONFIGS, Config, config_with, load_config, read_toml
from train.models.clip_encoders import EncoderConfig
from train.recipe import value_at
from train.sections import Section

STUDIES = CONFIGS / "studies"
SCALES = CONFIGS / "scales"
LETTERS = "ABCDE"
NAMES = ("trial", "full")


class ScaleConfig(Section):
    """What is other than in the studies' configs, and on how much is measured.

    Attributes:
        name: of it.
        words: what it is, in a few sentences.
        values: keys of every config -> value in place of the config's.
        stand_in: the same, of models around a frozen CLIP with public weights alone.
        models: file of a config, without its suffix -> the same for it; comes last.
        photos: of the test list that are measured on, drawn by seed 0; None: all.
        robustness_photos: the same, for the curves of damage.
        animals: that are clicked, drawn by seed 0; None: all.
        max_clicks: at most, for an animal.
        worst: hardest photos that are drawn of each model.
        teraflops: that one GPU is supposed to keep up, for the estimate of hours.
    """

    name: str
    words: str
    values: dict[str, Any] = Field(default_factory=dict)
    stand_in: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    photos: int | None = Field(default=None, ge=1)
    robustness_photos: int | None = Field(default=None, ge=1)
    animals: int | None = Field(default=None, ge=1)
    max_clicks: int = Field(default=20, ge=1)
    worst: int = Field(default=6, ge=0)
    teraflops: float = Field(default=20.0, gt=0)


def load_scale(name: str) -> ScaleConfig:
    """A scale by its name, or by the path of a TOML file; raises as `read_toml`, and pydantic's errors."""
    return ScaleConfig.model_validate(read_toml(SCALES / f"{name}.toml" if name in NAMES else name))


def config_paths(letters: Iterable[str]) -> list[Path]:
    """The configs of those studies, by letter and name."""
    return [path for letter in letters for path in sorted(STUDIES.glob(f"{letter.lower()}_*.toml"))]


def scaled(path: Path, scale: ScaleConfig, run: Path) -> Config:
    """A study's config at a scale, which writes into the folder `run`; raises as `config_with`."""
    model = load_config(path).model
    public = isinstance(model, EncoderConfig) and model.backend != "dual"
    values = scale.values | (scale.stand_in if public else {}) | scale.models.get(path.stem, {})
    return config_with(path, values | {"output": str(run)})


def changes(path: Path, scale: ScaleConfig) -> dict[str, list[Any]]:
    """Key -> the config's value and the scale's, where they differ."""
    own, other = load_config(path), scaled(path, scale, Path())
    keys = scale.values | scale.stand_in | scale.models.get(path.stem, {})
    clicked = "prompt" in own.model.needs
    found = {}
    for key in keys:
        if key.startswith("prompting.") and not clicked:
            continue  # which plays no part
        pair = []
        for config in (own, other):
            try:
                pair.append(value_at(config, key))
            except KeyError:  # of another family
                pair.append(None)
        if pair[0] != pair[1]:
            found[key] = pair
    return found
