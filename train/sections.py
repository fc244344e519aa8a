"""Tables of a training config that know nothing of models and sources."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from petseg.measure.perturbations import PERTURBATIONS


def _check_kind(kind: str) -> str:
    if kind not in PERTURBATIONS:
        raise ValueError(f"there is no perturbation {kind!r}; give one of {', '.join(PERTURBATIONS)}")
    return kind


PerturbationKind = Annotated[str, AfterValidator(_check_kind)]
Probability = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
Span = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
"""The least and the most of what is drawn."""


class Section(BaseModel):
    """A table of the config: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrengthConfig(Section):
    """How strong augmentations are.

    Attributes:
        crop_area, crop_ratio: of `crop`: share of the photo's area, and width over height.
        degrees, translate, scale, shear: of `affine`: most of a turn to either side, of a shift as a share of
            the side, range of the scale, most of a shear in degrees.
        elastic_alpha, elastic_sigma: strength and smoothness of `elastic`, in pixels.
        brightness, contrast, saturation, hue: of `colour`: most of a change, as torchvision's `ColorJitter`.
        blur_sigma: of `blur`, in pixels.
        noise_sigma: of `noise`, as a share of 0..255.
    """

    crop_area: Span = (0.2, 1.0)
    crop_ratio: Span = (2 / 3, 3 / 2)
    degrees: Strength = 20.0
    translate: Probability = 0.1
    scale: Span = (0.6, 1.2)
    shear: Strength = 8.0
    elastic_alpha: Strength = 40.0
    elastic_sigma: Annotated[float, Field(gt=0)] = 6.0
    brightness: Strength = 0.35
    contrast: Strength = 0.35
    saturation: Strength = 0.35
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.06
    blur_sigma: Span = (0.3, 2.0)
    noise_sigma: Strength = 0.06


class AugmentConfig(Section):
    """Probability of each augmentation.

    Attributes:
        untouched: of a photo being left as it is, whatever else is said: what a study does that adds copies
            to its photos.
        rotate, shift, rescale: one part of `affine` alone, by its strengths.
        exposure: brightness and contrast alone, by the strengths of `colour`.
        perturb: one of the perturbations of the robustness study, at a random level.
        kinds: which of them; one that is named twice comes twice as often.
        turn: a quarter turn, or upside down.
        zoom_out: the whole photo made small, on what it is padded with, down to a sixth.
        strengths: how strong they are.
    """

    untouched: Probability = 0.0
    flip: Probability = 0.5
    crop: Probability = 0.5
    affine: Probability = 0.5
    elastic: Probability = 0.1
    colour: Probability = 0.5
    grayscale: Probability = 0.05
    blur: Probability = 0.1
    noise: Probability = 0.1
    perturb: Probability = 0.0
    kinds: list[PerturbationKind] = Field(default=list(PERTURBATIONS), min_length=1)
    turn: Probability = 0.0
    zoom_out: Probability = 0.0
    rotate: Probability = 0.0
    shift: Probability = 0.0
    rescale: Probability = 0.0
    exposure: Probability = 0.0
    strengths: StrengthConfig = StrengthConfig()


class CollageConfig(Section):
    """Pets pasted where they were not photographed, see `train.data.collage`.

    Attributes:
        probability: of a training photo giving way to a collage.
        empty: of a collage without any animal.
        distractor: of something that is no pet being pasted in the outline of one.
    """

    probability: Probability = 0.0
    empty: Probability = 0.15
    distractor: Probability = 0.4


class MultiplyConfig(Section):
    """Augmented copies that `python -m train.multiply` writes once, for a source of the "folder" layout.

    Attributes:
        copies: of each training photo, however often `repeat` and `balance` let it come.
        output: the folder to make; empty: runs/NAME-copies.
    """

    copies: int = Field(default=3, ge=1)
    output: str = ""


class CaptionConfig(Section):
    """What contrastive training says about photos; species and breed stand in their names.

    Attributes:
        breed: captions of a photo, with the fields {breed} and {species}.
        species: captions that leave the breed open, with the field {species}.
        nothing: captions of the background.
        species_share: share of photos whose caption leaves the breed open.
        background_share: share of photos that are cut to a square of their background, where the mask
            shows one.
    """

    breed: list[str] = Field(
        default=[
            "a photo of a {breed}",
            "a photo of a {breed}, a breed of {species}",
            "a picture of a {species} of the breed {breed}",
            "a close-up of a {breed} {species}",
            "a {breed}",
        ],
        min_length=1,
    )
    species: list[str] = Field(
        default=[
            "a photo of a {species}",
            "a picture of a {species}",
            "a close-up of a {species}",
            "a {species}",
        ],
        min_length=1,
    )
    nothing: list[str] = Field(
        default=["a photo of the background", "a picture without a cat or dog", "background"], min_length=1
    )
    species_share: Probability = 0.25
    background_share: Probability = 0.15


class ReconstructionConfig(Section):
    """Stage one of an autoencoder: reconstruct photos, with masks or without.

    Attributes:
        photos: folders, from `data.root`, of which all photos in `images/` are taken that `data.sources` does
            not know; beside them stand the training photos of those sources.
        optional: those of the folders that are not there are said aloud and left out.
        epochs, batch_size, learning_rate, patience: in place of those in `optim`; its other fields hold too.
        augment: in place of the run's.
        noise: standard deviation of Gaussian noise in what the encoder sees, as a share of 0..255.
        hidden: share of the patches of 16 x 16 pixels that it does not see.
        samples: validation photos in the picture of reconstructions.
    """

    photos: list[str] = Field(default_factory=list)
    optional: bool = False
    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    patience: int = Field(default=0, ge=0)
    augment: AugmentConfig = AugmentConfig(
        affine=0, elastic=0, colour=0, grayscale=0, blur=0, noise=0, perturb=0
    )
    noise: float = Field(default=0.0, ge=0)
    hidden: Annotated[float, Field(ge=0, lt=1)] = 0.0
    samples: int = Field(default=8, ge=1)


class StudyConfig(Section):
    """What a published study says about the model of a config; `python -m train.models` prints it.

    Attributes:
        letter: of the study, see docs/studies.md.
        stated: keys of the config that follow the study -> where it says so.
        facts: what else the study says and the model has -> where.
        unstated: what the study leaves open, and what was chosen.
        differs: what the study says and the config does otherwise, and why.
        published: the study's figures by the name of petseg's own that is nearest to each -> value, 0 to 1.
        measured: where those stand in the study, and on what they were measured.
    """

    letter: Literal["A", "B", "C", "D", "E"]
    stated: dict[str, str]
    facts: dict[str, str] = Field(default_factory=dict)
    unstated: list[str] = Field(default_factory=list)
    differs: list[str] = Field(default_factory=list)
    published: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    measured: str = ""
